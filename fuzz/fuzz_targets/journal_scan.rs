#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| (filepact_tests::fuzz::journal_scan::TARGET.run)(input));
