//! Searches over rows that are asked for when they are used.

use std::sync::Mutex;

use super::*;

/// Refuses some rows, and remembers what it was asked for.
#[derive(Default)]
struct Refusing {
    bad_rows: Vec<u32>,
    bad_vectors: Vec<u32>,
    asked: Mutex<(usize, usize)>,
    refused: Mutex<usize>,
    stray: Mutex<Vec<u32>>,
}

impl Refusing {
    fn judge(&self, bad: &[u32], node: u32) -> bool {
        let good = !bad.contains(&node);
        *self.refused.lock().unwrap() += usize::from(!good);
        good
    }
}

impl Guard for Refusing {
    fn row(&self, node: u32) -> bool {
        self.asked.lock().unwrap().0 += 1;
        self.judge(&self.bad_rows, node)
    }

    fn vector(&self, node: u32) -> bool {
        self.asked.lock().unwrap().1 += 1;
        self.judge(&self.bad_vectors, node)
    }

    fn stray_link(&self, node: u32) {
        self.stray.lock().unwrap().push(node);
    }
}

fn hits(view: &IndexView<'_>, query: &[f32]) -> Vec<(SegmentOffset, f32)> {
    view.search(query, &SearchParams::new(10), &Allowed::all(), &mut Scratch::new()).unwrap().hits
}

#[test]
fn a_guard_that_refuses_nothing_changes_nothing() {
    for (metric, profile) in [(Metric::Cosine, Profile::Fast), (Metric::L2, Profile::Compact)] {
        let fixture = Fixture::new(clustered(6_000, 48, 61), 48, metric, profile);
        let guard = Refusing::default();
        let view = fixture.head.guarded_view(fixture.parts.slices(), fixture.rows(), &guard).unwrap();
        for query in fixture.queries.chunks(48) {
            assert_eq!(hits(&view, query), hits(&fixture.view(), query));
        }
        let (rows, vectors) = *guard.asked.lock().unwrap();
        assert!(rows > 50 && vectors > 50, "{rows} rows, {vectors} vectors were asked for");
    }
}

#[test]
fn refused_rows_are_told_and_a_search_comes_to_its_end() {
    let fixture = Fixture::new(clustered(3_000, 48, 62), 48, Metric::Ip, Profile::Fast);
    let all: Vec<u32> = (0..3_000).collect();
    for (bad_rows, bad_vectors) in [(&all[..], &all[..0]), (&all[..0], &all[..]), (&all[..], &all[..])] {
        let guard = Refusing {
            bad_rows: bad_rows.to_vec(),
            bad_vectors: bad_vectors.to_vec(),
            ..Refusing::default()
        };
        let view = fixture.head.guarded_view(fixture.parts.slices(), fixture.rows(), &guard).unwrap();
        hits(&view, &fixture.queries[..48]);
        assert!(*guard.refused.lock().unwrap() > 0);
    }
}

#[test]
fn a_link_to_no_node_is_told_and_not_followed() {
    let fixture = Fixture::new(clustered(3_000, 48, 63), 48, Metric::Ip, Profile::Fast);
    let mut parts = fixture.parts.clone();
    let stride = parts.rows.stride_bytes;
    parts.rows.bytes.chunks_mut(stride).for_each(|row| row[..4].copy_from_slice(&3_000u32.to_le_bytes()));
    let guard = Refusing::default();
    let view = fixture.head.guarded_view(parts.slices(), fixture.rows(), &guard).unwrap();
    hits(&view, &fixture.queries[..48]);
    assert!(!guard.stray.lock().unwrap().is_empty());
    assert!(fixture.head.view(parts.slices(), fixture.rows()).unwrap().check().is_err());
}
