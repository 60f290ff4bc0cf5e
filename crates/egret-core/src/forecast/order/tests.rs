use super::*;
use crate::scheduler::Class::{Bulk, Interactive, Normal};

fn line(class: Class, tenant: u32, weight: f64, waiting: u64) -> Line<u32> {
    Line { class, tenant, weight, waiting }
}

/// Two levels of strides, call by call: how many go before each call of a line.
fn strides(lines: &[Line<u32>], class: Class, tenant: u32) -> Vec<u64> {
    let mut left: Vec<u64> = lines.iter().map(|line| line.waiting).collect();
    let mut passes: Vec<f64> = vec![0.0; lines.len()];
    let mut of_classes: [f64; 3] = [0.0; 3];
    let (mut taken, mut found) = (0, Vec::new());
    loop {
        let classes = WEIGHTS.iter().enumerate().filter(|(_, (class, _))| {
            lines.iter().zip(&left).any(|(line, left)| line.class == *class && *left > 0)
        });
        let next = classes.min_by(|a, b| of_classes[a.0].total_cmp(&of_classes[b.0]));
        let Some((place, (next, weight))) = next else { return found };
        let open = lines.iter().enumerate().filter(|(n, line)| line.class == *next && left[*n] > 0);
        let (n, line) = open.min_by(|a, b| passes[a.0].total_cmp(&passes[b.0])).unwrap();
        of_classes[place] += 1.0 / weight;
        passes[n] += 1.0 / line.weight;
        left[n] -= 1;
        if (line.class, line.tenant) == (class, tenant) {
            found.push(taken);
        }
        taken += 1;
    }
}

/// Every call of every line stands within a turn of all the others of where strides have it.
#[track_caller]
fn check(lines: &[Line<u32>]) {
    for own in lines {
        let turn: f64 = lines.iter().map(|line| line.weight / own.weight).sum();
        let few = 21.0 / weight(own.class) * (1.0 + turn) + 2.0;
        for (before, expected) in (0..).zip(strides(lines, own.class, own.tenant)) {
            let found = ahead(lines, own.class, &own.tenant, before);
            let off = found.abs_diff(expected) as f64;
            assert!(off <= few, "{own:?}: {found} before call {before}, by strides {expected}");
        }
    }
}

#[test]
fn one_line_is_its_own_order() {
    let lines = [line(Normal, 1, 1.0, 50)];
    assert!((0..50).all(|before| ahead(&lines, Normal, &1, before) == before));
}

#[test]
fn classes_share_and_an_empty_one_leaves_its_share() {
    check(&[line(Interactive, 1, 1.0, 600), line(Normal, 1, 1.0, 400), line(Bulk, 1, 1.0, 300)]);
    check(&[line(Interactive, 1, 1.0, 10), line(Bulk, 1, 1.0, 300)]);
    let lines = [line(Interactive, 1, 1.0, 160), line(Bulk, 1, 1.0, 1_000)];
    assert_eq!(ahead(&lines, Bulk, &1, 999), 1_159, "the last one waits for all");
}

#[test]
fn tenants_share_by_weight_inside_their_class() {
    check(&[line(Normal, 1, 1.0, 200), line(Normal, 2, 3.0, 200), line(Normal, 3, 2.0, 50)]);
    check(&[
        line(Interactive, 1, 1.0, 100),
        line(Normal, 1, 2.0, 300),
        line(Normal, 2, 1.0, 300),
        line(Bulk, 3, 1.0, 100),
        line(Bulk, 1, 4.0, 100),
    ]);
}

#[test]
fn whoever_asks_is_counted_even_if_nothing_is_known_to_wait() {
    assert_eq!(ahead(&[], Normal, &7, 0), 0);
}
