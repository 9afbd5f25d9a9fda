//! Vectors of users.

use super::*;
use crate::types::{Deadline, GenerationId, SpaceName};

const G: GenerationId = GenerationId(1);

fn space() -> SpaceName {
    SpaceName::new("user_cf").unwrap()
}

fn upsert(generation: GenerationId, rows: &[(&str, &[f32])]) -> UserOp {
    let rows = rows.iter().map(|(id, vector)| (user(id), vector.to_vec())).collect();
    UserOp::UpsertVectors { space: space(), generation, rows }
}

#[test]
fn vectors_are_kept_by_generation_and_counted() {
    let shard = TestShard::new();
    assert_eq!(shard.run(upsert(G, &[("a", &[1.0, 2.0]), ("b", &[3.0, 4.0])])), UserReply::Done(2));
    assert_eq!(shard.run(upsert(G, &[("a", &[5.0, 6.0]), ("a", &[7.0, 8.0])])), UserReply::Done(0));
    assert_eq!(shard.run(upsert(GenerationId(2), &[("a", &[9.0])])), UserReply::Done(1));
    let shard = shard.reopen();
    let vector = |generation, id| shard.shard.vector(&space(), generation, &user(id)).unwrap();
    assert_eq!(vector(G, "a"), Some(vec![7.0, 8.0]), "the last row of a batch holds");
    assert_eq!((vector(G, "nobody"), vector(GenerationId(3), "a")), (None, None));
    assert_eq!(shard.shard.generations().unwrap(), [(space(), G, 2, 2), (space(), GenerationId(2), 1, 1)]);
    let delete = UserOp::DeleteVectors { space: space(), generation: G, users: vec![user("a"), user("x")] };
    assert_eq!(shard.run(delete), UserReply::Done(1));
    assert_eq!(shard.shard.vector_count(&space(), G).unwrap(), 1);
    let refused = shard.run(upsert(G, &[("c", &[1.0])]));
    let reason = "vector has a wrong dimension. space=`user_cf`, generation=`1`, expected=`2`, found=`1`";
    assert_eq!(refused, UserReply::Refused(reason.to_owned()));
}

#[test]
fn a_dropped_generation_is_gone_at_once_and_its_rows_soon() {
    let shard = TestShard::new();
    let ids: Vec<String> = (0..2_000).map(|n| format!("u{n}")).collect();
    let rows: Vec<(&str, &[f32])> = ids.iter().map(|id| (&id[..], &[1.0_f32][..])).collect();
    shard.run(upsert(G, &rows));
    shard.run(upsert(GenerationId(2), &rows[..10]));
    let drop = UserOp::DropGeneration { space: space(), generation: G };
    assert_eq!(shard.run(drop.clone()), UserReply::Done(2_000));
    assert_eq!(shard.shard.vector(&space(), G, &user("u1")).unwrap(), None);
    assert!(shard.shard.similar_users(&space(), G, &[1.0], 3, None, Deadline::NEVER).unwrap().is_empty());
    assert!(matches!(shard.run(upsert(G, &rows[..1])), UserReply::Refused(_)));
    let shard = shard.reopen();
    assert_eq!(shard.run(drop), UserReply::Done(0));
    for _ in 0..2 {
        shard.run(UserOp::Nothing);
    }
    assert_eq!(shard.shard.verify().unwrap(), 1 + 2 + 10, "shard, two generations, ten vectors");
    assert_eq!(shard.shard.generations().unwrap(), [(space(), GenerationId(2), 1, 10)]);
}

#[test]
fn similar_users_are_exact_with_ties_by_id() {
    let shard = TestShard::new();
    shard.run(upsert(
        G,
        &[
            ("far", &[-1.0, 0.0]),
            ("tie-b", &[2.0, 2.0]),
            ("tie-a", &[1.0, 1.0]),
            ("near", &[3.0, 0.0]),
            ("zero", &[0.0, 0.0]),
            ("me", &[1.0, 0.0]),
        ],
    ));
    let found =
        shard.shard.similar_users(&space(), G, &[4.0, 0.0], 3, Some(&user("me")), Deadline::NEVER).unwrap();
    let half = std::f32::consts::FRAC_1_SQRT_2;
    assert_eq!(found, [(user("near"), 1.0), (user("tie-a"), half), (user("tie-b"), half)]);
    let all = shard.shard.similar_users(&space(), G, &[4.0, 0.0], 99, None, Deadline::NEVER).unwrap();
    assert_eq!((all.len(), &all[4]), (5, &(user("far"), -1.0)), "a zero vector is like nobody");
    assert!(
        shard.shard.similar_users(&space(), G, &[0.0, 0.0], 3, None, Deadline::NEVER).unwrap().is_empty()
    );
    let late = Deadline::after(std::time::Duration::ZERO);
    let late = shard.shard.similar_users(&space(), G, &[4.0, 0.0], 3, None, late).unwrap_err();
    assert!(matches!(crate::Error::from(late), crate::Error::Timeout { ms: 0 }));
}
