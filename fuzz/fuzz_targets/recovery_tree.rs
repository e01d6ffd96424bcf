#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| (filepact_tests::fuzz::recovery_tree::TARGET.run)(
    input
));
