//! A measurement for criterion: the time of a subject divided by that of its yardstick. The two run in
//! turns, so that other work on the machine affects both.

use std::time::Duration;

use criterion::{
    Bencher, Throughput,
    measurement::{Measurement, ValueFormatter},
};

pub(crate) struct Ratio;

/// Measures `subject` in units of `yardstick`. A turn has `turn` calls of one of them.
pub(crate) fn in_turns(
    turn: u64,
    bencher: &mut Bencher<'_, Ratio>,
    yardstick: &mut dyn FnMut(u64) -> Duration,
    subject: &mut dyn FnMut(u64) -> Duration,
) {
    bencher.iter_custom(|iterations| {
        let (mut of_yardstick, mut of_subject) = (Duration::ZERO, Duration::ZERO);
        let mut left = iterations;
        while left > 0 {
            let turn = left.min(turn);
            of_yardstick += yardstick(turn);
            of_subject += subject(turn);
            left -= turn;
        }
        of_subject.div_duration_f64(of_yardstick) * iterations as f64
    });
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
