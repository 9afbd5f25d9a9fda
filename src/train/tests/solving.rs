use super::*;
use crate::Error;

fn trained(params_of: AlsParams) -> (Interactions, AlsModel, Vec<f64>) {
    let data = Interactions::from_plays(&two_tastes(1), |_| None, params()).unwrap();
    let mut losses = Vec::new();
    let model = train_als(&data, &params_of, &mut |report| losses.push(report.loss)).unwrap();
    (data, model, losses)
}

#[test]
fn planted_tastes_are_found() {
    let (data, model, _) = trained(small());
    let mut right = 0;
    for user in 0..data.users().len() {
        let best = (0..data.items().len())
            .max_by(|&a, &b| score(&model, user, a).total_cmp(&score(&model, user, b)))
            .unwrap();
        let number = |id: &str| id[1..].parse::<u32>().unwrap();
        right += u32::from(number(&data.users()[user]) % 2 == number(&data.items()[best]) % 2);
    }
    assert_eq!(right, 60);
}

#[test]
fn the_loss_falls_with_every_sweep_and_is_the_loss_of_the_model() {
    let (data, model, losses) = trained(small());
    assert_eq!(losses.len(), 8);
    assert!(losses.windows(2).all(|pair| pair[1] <= pair[0] * (1.0 + 1e-6)), "{losses:?}");
    let p = small();
    let (users, items) = (data.users().len(), data.items().len());
    let norm = |v: &[f32]| v.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>();
    let ridge = |count: usize, others: usize| p.lambda * (count as f64 + p.alpha0 * others as f64);
    let mut counts = vec![0; items];
    let mut plain = 0.0;
    for user in 0..users {
        for item in 0..items {
            plain += p.alpha0 * f64::from(score(&model, user, item)).powi(2);
        }
        for (item, weight, liked) in data.of_user(user) {
            let confidence = 1.0 + p.alpha * if liked { weight.ln_1p() } else { weight };
            let target = if liked { 1.0 } else { 0.0 };
            plain += confidence * (f64::from(score(&model, user, item)) - target).powi(2);
            counts[item] += 1;
        }
        plain += ridge(data.of_user(user).count(), items) * norm(model.user(user));
    }
    plain += (0..items).map(|item| ridge(counts[item], users) * norm(model.track(item))).sum::<f64>();
    let told = losses.last().unwrap();
    assert!((told - plain).abs() < 1e-4 * plain, "told {told}, plain {plain}");
}

#[test]
fn the_bytes_do_not_depend_on_threads_or_on_the_order_of_rows() {
    let (_, one, _) = trained(AlsParams { threads: Some(1), ..small() });
    let (_, four, _) = trained(AlsParams { threads: Some(4), ..small() });
    assert_eq!(one, four);
    let mut plays = two_tastes(1);
    plays.reverse();
    let data = Interactions::from_plays(&plays, |_| None, params()).unwrap();
    let reversed = train_als(&data, &small(), &mut |_| {}).unwrap();
    assert_eq!(one, reversed);
    let (_, other, _) = trained(AlsParams { seed: 2, ..small() });
    assert_ne!(one.users, other.users);
}

#[test]
fn the_row_solve_gives_trained_users_again() {
    for (dim, alpha, nu) in [(12, 0.5, 1.0), (12, 0.0, 0.5), (48, 2.0, 1.0), (90, 0.1, 0.0)] {
        let (data, model, _) = trained(AlsParams { dim, alpha, nu, ..small() });
        let mut worst = 0.0_f32;
        for user in 0..data.users().len() {
            let observed: Vec<Observed<'_>> = data
                .of_user(user)
                .map(|(item, weight, liked)| Observed { vector: model.track(item), weight, liked })
                .collect();
            let again = solve_row(&model.gram, &observed).unwrap();
            for (a, b) in again.iter().zip(model.user(user)) {
                worst = worst.max((a - b).abs());
            }
        }
        assert!(worst < 1e-6, "dim={dim} alpha={alpha} worst={worst}");
    }
}

#[test]
fn the_row_solve_minimises_its_loss() {
    // The gradient of the row's loss vanishes at the solution.
    let (_, model, _) = trained(small());
    let observed: Vec<Observed<'_>> = [(0, 0.3, true), (5, 2.0, true), (8, 0.5, false)]
        .map(|(track, weight, liked)| Observed { vector: model.track(track), weight, liked })
        .into();
    let x = solve_row(&model.gram, &observed).unwrap();
    let g = &model.gram;
    let dim = g.dim as usize;
    let ridge = g.lambda * (3.0 + g.alpha0 * g.tracks as f64).powf(g.nu);
    for a in 0..dim {
        let mut gradient = ridge * f64::from(x[a]);
        gradient += g.alpha0 * (0..dim).map(|b| g.gram[a * dim + b] * f64::from(x[b])).sum::<f64>();
        for one in &observed {
            let score: f64 = one.vector.iter().zip(&x).map(|(v, x)| f64::from(*v) * f64::from(*x)).sum();
            let (target, weight) = if one.liked { (1.0, one.weight.ln_1p()) } else { (0.0, one.weight) };
            gradient += (1.0 + g.alpha * weight) * (score - target) * f64::from(one.vector[a]);
        }
        assert!(gradient.abs() < 1e-6, "component {a}: {gradient}");
    }
}

#[test]
fn a_dislike_lowers_the_score_and_dislikes_alone_give_zero() {
    let (_, model, _) = trained(small());
    let liked = Observed { vector: model.track(0), weight: 1.0, liked: true };
    let disliked = Observed { vector: model.track(2), weight: 0.5, liked: false };
    let dot = |x: &[f32], t: usize| x.iter().zip(model.track(t)).map(|(a, b)| a * b).sum::<f32>();
    let without = solve_row(&model.gram, &[liked]).unwrap();
    let with = solve_row(&model.gram, &[liked, disliked]).unwrap();
    assert!(dot(&with, 2) < dot(&without, 2) * 0.95, "{} {}", dot(&with, 2), dot(&without, 2));
    assert_eq!(solve_row(&model.gram, &[disliked]).unwrap(), vec![0.0; 12]);
    assert_eq!(solve_row(&model.gram, &[]).unwrap(), vec![0.0; 12]);
}

#[test]
fn wrong_input_to_the_row_solve_is_named() {
    let (_, model, _) = trained(small());
    let field = |result: crate::Result<Vec<f32>>| match result {
        Err(Error::InvalidField { field, .. }) => field.into_owned(),
        other => panic!("{other:?}"),
    };
    let good = Observed { vector: model.track(0), weight: 1.0, liked: true };
    assert_eq!(field(solve_row(&model.gram, &[Observed { vector: &[1.0], ..good }])), "vector");
    assert_eq!(field(solve_row(&model.gram, &[Observed { weight: -0.1, ..good }])), "weight");
    assert_eq!(field(solve_row(&model.gram, &[Observed { weight: f64::NAN, ..good }])), "weight");
    let mut gram = model.gram.clone();
    gram.gram.pop();
    assert!(matches!(solve_row(&gram, &[good]), Err(Error::Corrupt(_))));
    let mut gram = model.gram.clone();
    gram.gram[0] = -1e9;
    assert!(matches!(solve_row(&gram, &[good]), Err(Error::Corrupt(_))));
}

#[test]
fn wrong_parameters_are_named() {
    let data = Interactions::from_plays(&two_tastes(1), |_| None, params()).unwrap();
    let good = AlsParams { sweeps: 1, ..small() };
    for (params, name) in [
        (AlsParams { dim: 0, ..good.clone() }, "dim"),
        (AlsParams { dim: 1_025, ..good.clone() }, "dim"),
        (AlsParams { alpha0: 0.0, ..good.clone() }, "alpha0"),
        (AlsParams { lambda: -1.0, ..good.clone() }, "lambda"),
        (AlsParams { lambda: f64::NAN, ..good.clone() }, "lambda"),
        (AlsParams { nu: 1.5, ..good.clone() }, "nu"),
        (AlsParams { alpha: f64::INFINITY, ..good.clone() }, "alpha"),
        (AlsParams { sweeps: 0, ..good.clone() }, "sweeps"),
        (AlsParams { threads: Some(0), ..good.clone() }, "threads"),
    ] {
        match train_als(&data, &params, &mut |_| {}) {
            Err(Error::InvalidField { field, .. }) => assert_eq!(field, name),
            other => panic!("{name}: {other:?}"),
        }
    }
}
