//! The figures of the guide's page on throttling, by the limiter itself under a simulated clock.

use std::net::{IpAddr, Ipv6Addr};

use super::{Counters, Throttle};

const GUIDE: &str = include_str!("../guide/throttling.md");

const HOUR: i64 = 3_600_000_000;

/// The guesses of an attacker who has these addresses: at once, and in an hour after that. Each guess is
/// the first at its name, or all are at one name. No user has a device.
async fn guesses(addresses: &[IpAddr], is_one_name: bool) -> (u64, u64) {
    let counters = Counters::new(Throttle::new(), &[7; 32]);
    let (mut now, mut at_once, mut later) = (0, 0, 0);
    for n in 0_usize.. {
        let name = if is_one_name { "alice".to_owned() } else { format!("user{n}") };
        let address = addresses[n % addresses.len()];
        let counts = counters.address(address).chain(counters.name(&name));
        let counts: Vec<_> = counts.chain(counters.found(&name, None)).collect();
        match counters.take_at(&counts, now) {
            Ok(()) if now == 0 => at_once += 1,
            Ok(()) => later += 1,
            // The attacker knows when to come back.
            Err(wait) => now += wait,
        }
        if now > HOUR {
            break;
        }
    }
    (at_once, later)
}

/// The first networks of the documentation's /32, `step` bits apart.
fn networks(many: u128, step: u32) -> Vec<IpAddr> {
    let first = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).to_bits();
    (0..many).map(|n| Ipv6Addr::from_bits(first + (n << step)).into()).collect()
}

#[tokio::test]
async fn the_figures_of_the_guide_are_those_of_the_limiter() {
    let mut table = String::new();
    let mut line = |what: &str, times: u64, (one_at_once, one): (u64, u64), all: (u64, u64)| {
        let day = |(at_once, hour): (u64, u64), times| thousands(times * (at_once + 24 * hour));
        let one = day((one_at_once, one), 1);
        table.push_str(&format!("| {what} | {one} | {} |\n", day(all, times)));
    };
    for (what, many) in [("1", 1), ("256 of one /56", 256), ("65,536 of one /48", 65_536)] {
        // The first networks of a /48 are all in a /56, so an attacker begins at all of them in turn.
        let mut addresses = networks(many, 64);
        addresses.sort_by_key(|address| match address {
            IpAddr::V6(address) => address.segments()[3].reverse_bits(),
            IpAddr::V4(_) => 0,
        });
        line(what, 1, guesses(&addresses, true).await, guesses(&addresses, false).await);
    }
    // Networks of different /48s share no counter.
    let apart = networks(4, 80);
    let (of_one, of_four) = (guesses(&apart[..1], false).await, guesses(&apart, false).await);
    assert_eq!(of_four, (4 * of_one.0, 4 * of_one.1));
    for (what, many) in [("256 of different /48s", 256), ("65,536 of different /48s", 65_536)] {
        line(what, many, guesses(&apart, true).await, of_one);
    }
    assert!(GUIDE.contains(&table), "the table is:\n{table}");
}

/// The codes that somebody who has the password can try for one user until this time, from any number of
/// addresses, without a known device.
fn codes(time: i64) -> i64 {
    let counters = Counters::new(Throttle::new(), &[7; 32]);
    let counts: Vec<_> = counters.second_step("alice", None).into_iter().collect();
    let (mut now, mut tried) = (0, 0);
    while now <= time {
        match counters.take_at(&counts, now) {
            Ok(()) => tried += 1,
            Err(wait) => now += wait,
        }
    }
    tried
}

#[test]
fn the_codes_of_the_guide_are_those_of_the_limiter() {
    let (day, year) = (codes(24 * HOUR), codes(365 * 24 * HOUR));
    let later = (year - day) / 364;
    let all = year.unsigned_abs();
    for text in [
        format!("{day} codes in the first 24 hours, and {later} on each day after it"),
        format!("{} codes in a year", thousands(all)),
        // One of a million, and three of a million.
        format!("{:.1} % in a year", all as f64 / 1e4),
        format!("{:.1} % if", 3.0 * all as f64 / 1e4),
    ] {
        assert!(GUIDE.split_whitespace().collect::<Vec<_>>().join(" ").contains(&text), "{text}");
    }
}

fn thousands(number: u64) -> String {
    match number {
        ..1000 => number.to_string(),
        _ => format!("{},{:03}", thousands(number / 1000), number % 1000),
    }
}
