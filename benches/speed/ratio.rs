//! A measurement for criterion: how much longer something takes than its yardstick, the two of
//! them in turns, so that whatever the machine does meanwhile it does to both.

use std::time::{Duration, Instant};

use criterion::{
    Bencher, Throughput,
    measurement::{Measurement, ValueFormatter},
};
use relatch_benches::{Pool, WARM};

pub(crate) struct Ratio;

/// How often the one is done before it is the other's turn: once through a pool.
const TURN: u64 = WARM as u64;

/// Measures `subject` in units of `yardstick`.
pub(crate) fn in_turns(
    bencher: &mut Bencher<'_, Ratio>,
    yardstick: &mut dyn FnMut(u64) -> Duration,
    subject: &mut dyn FnMut(u64) -> Duration,
) {
    bencher.iter_custom(|iterations| {
        let (mut of_yardstick, mut of_subject) = (Duration::ZERO, Duration::ZERO);
        let mut left = iterations;
        while left > 0 {
            let turn = left.min(TURN);
            of_yardstick += yardstick(turn);
            of_subject += subject(turn);
            left -= turn;
        }
        of_subject.div_duration_f64(of_yardstick) * iterations as f64
    });
}

/// The time that `count` calls take.
pub(crate) fn time(count: u64, f: &dyn Fn()) -> Duration {
    let began = Instant::now();
    (0..count).for_each(|_| f());
    began.elapsed()
}

/// The time that `count` calls take, with things that are made of a pool's just before: as a token
/// that has just arrived is in the processor's cache, and the record of its user is not.
pub(crate) fn time_each<T, U>(
    count: u64,
    pool: &Pool<T>,
    make: impl Fn(&T) -> U,
    f: impl Fn(&U),
) -> Duration {
    let made: Vec<U> = (0..count).map(|_| make(pool.turn())).collect();
    let began = Instant::now();
    made.iter().for_each(f);
    began.elapsed()
}

impl Measurement for Ratio {
    type Intermediate = ();
    type Value = f64;

    fn start(&self) {}

    fn end(&self, (): ()) -> f64 {
        unreachable!("it is only measured `in_turns`")
    }

    fn add(&self, a: &f64, b: &f64) -> f64 {
        a + b
    }

    fn zero(&self) -> f64 {
        0.0
    }

    fn to_f64(&self, value: &f64) -> f64 {
        *value
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        &Self
    }
}

impl ValueFormatter for Ratio {
    fn scale_values(&self, _: f64, _: &mut [f64]) -> &'static str {
        "of the yardstick"
    }

    fn scale_throughputs(&self, _: f64, _: &Throughput, _: &mut [f64]) -> &'static str {
        "of the yardstick"
    }

    fn scale_for_machines(&self, _: &mut [f64]) -> &'static str {
        "ratio"
    }
}
