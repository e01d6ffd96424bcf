#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| (filepact_tests::fuzz::transaction_crash::TARGET.run)(
    input
));
