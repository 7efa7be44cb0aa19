//! A lock-free map from a token's `typ`, for values that are computed on first use.

use std::{ptr, sync::OnceLock};

/// A value for each JOSE `typ`, computed once and read without a lock. A program has few of them. No
/// two differ only in case.
pub(crate) struct PerType<T>(Link<T>);

type Link<T> = OnceLock<Box<Node<T>>>;

struct Node<T> {
    typ: &'static str,
    value: T,
    next: Link<T>,
}

impl<T> PerType<T> {
    pub(crate) const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// `None` if this `typ` differs only in case from an earlier one.
    pub(crate) fn get(&self, typ: &'static str, make: impl Fn() -> T) -> Option<&T> {
        let mut link = &self.0;
        loop {
            let node =
                link.get_or_init(|| Box::new(Node { typ, value: make(), next: OnceLock::new() }));
            // Usually the same constant.
            if ptr::eq(node.typ, typ) || node.typ == typ {
                return Some(&node.value);
            }
            if node.typ.eq_ignore_ascii_case(typ) {
                return None;
            }
            link = &node.next;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Barrier, thread};

    use super::*;

    #[test]
    fn each_type_has_one_value_for_all_threads() {
        const TYPES: [&str; 3] = ["at+jwt", "rt+jwt", "reset+jwt"];
        let values = PerType::new();
        let start = Barrier::new(4);
        let ask = |turn: usize| {
            start.wait();
            (0..3).map(|i| TYPES[(i + turn) % 3]).for_each(|typ| {
                assert!(values.get(typ, || typ.to_owned()).unwrap() == typ);
            });
        };
        thread::scope(|scope| (0..4).for_each(|turn| drop(scope.spawn(move || ask(turn)))));
        for typ in TYPES {
            assert_eq!(values.get(typ, || unreachable!("it has been made")).unwrap(), typ);
        }
    }

    #[test]
    fn a_type_that_differs_only_in_case_has_no_value() {
        let values = PerType::new();
        assert_eq!(values.get("admin+jwt", || 1), Some(&1));
        assert_eq!(values.get("Admin+jwt", || 2), None);
        assert_eq!(values.get("admin+JWT", || 3), None);
        assert_eq!(values.get("admin2+jwt", || 4), Some(&4));
        assert_eq!(values.get("admin+jwt", || 5), Some(&1));
    }
}
