//! Throws bytes at the judges of answers; `readers::Classifier` says what has to hold.
#![no_main]

use egret_fuzz::growth;
use egret_fuzz::memory::probe;
use egret_fuzz::readers::Classifier;

libfuzzer_sys::fuzz_target!(|data: &[u8]| probe::<Classifier>(data));
libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    growth::mutate(data, size, max_size, seed)
});
