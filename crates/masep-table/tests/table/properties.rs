//! The [model](crate::model) holds in random games.

use proptest::prelude::*;

use crate::play::play;

/// xorshift64*: the same numbers for the same seed, on every machine.
pub(crate) fn numbers(seed: u64) -> impl FnMut(usize) -> usize {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move |bound| {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        let high = state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        usize::try_from(high).map_or(0, |high| high % bound.max(1))
    }
}

#[test]
fn random_games_follow_the_model() {
    for seed in 0..1_000 {
        // The seed stands in the output of a test that fails.
        println!("seed {seed}");
        play(400, &mut numbers(seed));
    }
}

#[test]
fn the_same_events_have_the_same_effects() {
    for seed in 0..200 {
        let [first, second] = [(); 2].map(|()| play(300, &mut numbers(seed)));
        assert_eq!(first, second, "seed {seed}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    /// As above; a game that fails is made small.
    #[test]
    fn arbitrary_games_follow_the_model(input in prop::collection::vec(any::<u16>(), 0..600)) {
        let mut input = input.into_iter();
        let mut choose = |bound: usize| usize::from(input.next().unwrap_or(0)) % bound.max(1);
        play(300, &mut choose);
    }
}
