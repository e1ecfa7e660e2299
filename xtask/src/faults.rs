//! `cargo xtask faults`: the tests over real kernels and bad links, in `interop/faults`.

use crate::interop;
use crate::step::Failure;
use crate::tally::Tally;

/// Tests that run side by side: they wait much more than they compute.
const SIDE_BY_SIDE: &str = "8";

/// Runs them with this seed, or in the long form with several from it on; `pytest` is handed on.
pub(crate) fn test(long: bool, seed: Option<u32>, pytest: &[String]) -> Result<Tally, Failure> {
    let seed = seed.map(|seed| format!("--seed={seed}"));
    let mut args = vec![interop::FAULTS, "-n", SIDE_BY_SIDE];
    args.extend(long.then_some("--long"));
    args.extend(seed.as_deref());
    args.extend(pytest.iter().map(String::as_str));
    interop::run(&args)
}
