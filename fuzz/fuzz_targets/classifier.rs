//! Throws bytes at the judges of answers; `readers::Classifier` says what has to hold.
#![no_main]

use egret_fuzz::memory::probe;
use egret_fuzz::readers::Classifier;

libfuzzer_sys::fuzz_target!(|data: &[u8]| probe::<Classifier>(data));
