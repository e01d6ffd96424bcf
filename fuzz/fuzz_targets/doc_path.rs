#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| (filepact_tests::fuzz::doc_path::TARGET.run)(input));
