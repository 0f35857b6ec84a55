//! Every fused autograd function against the same thing composed of libtorch's own operations, in fp32 and bf16.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use evenkeel_torch_ext::autograd::cast_param;
use evenkeel_torch_ext::ops::{
    HeadWeight, causal_attention, linear_cross_entropy, rms_norm, rope, swiglu_linear,
};
use evenkeel_torch_ext::{Error, Result};
use tch::{Device, Kind, Reduction, Tensor};

/// Both kinds with the relative error that is allowed, against the largest element of the expected tensor.
const KINDS: [(Kind, f64); 2] = [(Kind::Float, 5e-6), (Kind::BFloat16, 1.5e-2)];

fn wave(shape: &[i64], phase: f64) -> Tensor {
    let count: i64 = shape.iter().product();
    let steps = Tensor::arange(count, (Kind::Double, Device::Cpu)) * 1.37 + phase;
    (steps.sin() * 1.5 + (steps * 0.01).cos() * 0.5).to_kind(Kind::Float).reshape(shape)
}

/// Leaves of `kind`, and fp32 leaves with exactly the same values for the reference.
fn leaves(kind: Kind, shapes: &[&[i64]]) -> (Vec<Tensor>, Vec<Tensor>) {
    let rounded = |(index, shape): (usize, &&[i64])| wave(shape, index as f64).to_kind(kind);
    let actual = shapes.iter().enumerate().map(rounded).map(|leaf| leaf.set_requires_grad(true)).collect();
    let reference = shapes
        .iter()
        .enumerate()
        .map(rounded)
        .map(|leaf| leaf.to_kind(Kind::Float).set_requires_grad(true))
        .collect();
    (actual, reference)
}

fn assert_close(what: &str, actual: &Tensor, expected: &Tensor, tolerance: f64) {
    assert_eq!(actual.size(), expected.size(), "{what}");
    let expected = expected.to_kind(Kind::Double);
    let largest = expected.abs().max().double_value(&[]).max(1e-3);
    let difference = (actual.to_kind(Kind::Double) - expected).abs().max().double_value(&[]);
    assert!(difference <= tolerance * largest, "{what}: off by {difference}, largest value {largest}");
}

/// Compares the value and the gradients of all leaves.
fn check(
    what: &str,
    shapes: &[&[i64]],
    fused: impl Fn(&[Tensor]) -> Result<Tensor>,
    composed: impl Fn(&[Tensor]) -> Tensor,
) {
    for (kind, tolerance) in KINDS {
        let (actual, reference) = leaves(kind, shapes);
        let value = fused(&actual).unwrap();
        let expected = composed(&reference);
        assert_close(&format!("{what} {kind:?}"), &value, &expected, tolerance);
        let upstream = wave(&expected.size(), 9.0).to_kind(kind);
        (value.to_kind(Kind::Float) * upstream.to_kind(Kind::Float)).sum(Kind::Float).backward();
        (expected * upstream.to_kind(Kind::Float)).sum(Kind::Float).backward();
        for (index, (actual, reference)) in actual.iter().zip(&reference).enumerate() {
            assert_eq!(actual.grad().kind(), kind);
            assert_close(
                &format!("{what} {kind:?} gradient {index}"),
                &actual.grad(),
                &reference.grad(),
                tolerance,
            );
        }
    }
}

#[test]
fn rms_norm_equals_its_definition() {
    let composed = |leaves: &[Tensor]| {
        let x = &leaves[0];
        let rstd = (x.square().mean_dim(-1, true, Kind::Float) + 1e-5).rsqrt();
        x * rstd * &leaves[1]
    };
    for shape in [&[7, 576][..], &[2, 3, 5], &[300, 64]] {
        let width = [*shape.last().unwrap()];
        check("rms_norm", &[shape, &width], |leaves| rms_norm(&leaves[0], &leaves[1], 1e-5), composed);
    }
}

#[test]
fn rms_norm_takes_kinds_that_differ() {
    let x = wave(&[4, 16], 0.0).to_kind(Kind::BFloat16);
    let weight = wave(&[16], 1.0);
    let y = rms_norm(&x, &weight, 1e-5).unwrap();
    let expected = rms_norm(&x.to_kind(Kind::Float), &weight, 1e-5).unwrap();
    assert_close("mixed kinds", &y, &expected, 1e-2);
}

#[test]
fn swiglu_linear_equals_its_definition() {
    check(
        "swiglu_linear",
        &[&[33, 129], &[33, 129], &[17, 129]],
        |leaves| swiglu_linear(&leaves[0], &leaves[1], &leaves[2]),
        |leaves| (leaves[0].silu() * &leaves[1]).linear(&leaves[2], None::<Tensor>),
    );
}

#[test]
fn swiglu_is_right_far_from_zero() {
    let gate = Tensor::from_slice(&[-200.0_f32, -88.0, -20.0, -1e-3, 0.0, 20.0, 88.0, 200.0, f32::NAN]);
    let column = gate.unsqueeze(1);
    let one = Tensor::ones([1, 1], (Kind::Float, Device::Cpu));
    let actual = swiglu_linear(&column, &Tensor::ones_like(&column), &one).unwrap().squeeze_dim(1);
    assert!(actual.allclose(&gate.silu(), 1e-6, 1e-30, true), "{actual} against {}", gate.silu());
}

#[test]
fn rope_turns_the_halves_of_each_head() {
    let (tokens, heads, half) = (9, 3, 8);
    let angles = wave(&[tokens, half], 4.0) * 3.0;
    let (cos, sin) = (angles.cos(), angles.sin());
    let composed = |leaves: &[Tensor]| {
        let x = &leaves[0];
        let (first, second) = (x.narrow(2, 0, half), x.narrow(2, half, half));
        let twice = |table: &Tensor| Tensor::cat(&[table, table], 1).unsqueeze(1);
        x * twice(&cos) + Tensor::cat(&[-second, first], 2) * twice(&sin)
    };
    check("rope", &[&[tokens, heads, 2 * half]], |leaves| rope(&leaves[0], &cos, &sin), composed);
}

#[test]
fn attention_stays_inside_documents() {
    let (tokens, heads, key_heads, width) = (330, 6, 2, 16);
    let starts = [0, 1, 40, 41, 330];
    let scale = 0.25;
    let composed = |leaves: &[Tensor]| {
        let spread =
            |tensor: &Tensor| tensor.repeat_interleave_self_int(heads / key_heads, 1, None).transpose(0, 1);
        let (q, k, v) = (leaves[0].transpose(0, 1), spread(&leaves[1]), spread(&leaves[2]));
        let document: Vec<i64> =
            (0..tokens).map(|token| starts.iter().filter(|&&start| start <= token).count() as i64).collect();
        let document = Tensor::from_slice(&document);
        let same = document.unsqueeze(1).eq_tensor(&document.unsqueeze(0));
        let allowed = same.logical_and(&Tensor::ones([tokens, tokens], (Kind::Bool, Device::Cpu)).tril(0));
        let scores =
            (q.matmul(&k.transpose(1, 2)) * scale).masked_fill(&allowed.logical_not(), f64::NEG_INFINITY);
        scores.softmax(-1, Kind::Float).matmul(&v).transpose(0, 1).contiguous()
    };
    check(
        "attention",
        &[&[tokens, heads, width], &[tokens, key_heads, width], &[tokens, key_heads, width]],
        |leaves| causal_attention(&leaves[0], &leaves[1], &leaves[2], &starts, scale),
        composed,
    );
}

#[test]
fn attention_refuses_documents_that_do_not_cover_the_pack() {
    let q = wave(&[4, 2, 8], 0.0);
    for starts in [&[0, 3][..], &[1, 4], &[0, 2, 2, 4], &[0], &[]] {
        assert!(causal_attention(&q, &q, &q, starts, 1.0).is_err(), "{starts:?}");
    }
    let three_heads = wave(&[4, 3, 8], 0.0);
    assert!(causal_attention(&three_heads, &q, &q, &[0, 4], 1.0).is_err());
}

fn targets(rows: i64, vocabulary: i64) -> Tensor {
    (Tensor::arange(rows, (Kind::Int64, Device::Cpu)) * 7).remainder(vocabulary)
}

#[test]
fn linear_cross_entropy_equals_its_definition_for_every_chunk() {
    let (rows, width, vocabulary) = (21, 32, 97);
    let targets = targets(rows, vocabulary);
    // Scaled down, so that the rounding of bf16 logits stays small.
    let composed = |leaves: &[Tensor]| {
        (&leaves[0] * 0.125).matmul(&leaves[1].tr()).cross_entropy_loss::<Tensor>(
            &targets,
            None,
            Reduction::Sum,
            -100,
            0.0,
        )
    };
    for chunk in [1, 8, 21, 1000] {
        let fused = |leaves: &[Tensor]| {
            linear_cross_entropy(&(&leaves[0] * 0.125), HeadWeight::plain(&leaves[1]), &targets, chunk)
        };
        check("linear_cross_entropy", &[&[rows, width], &[vocabulary, width]], fused, composed);
    }
}

#[test]
fn linear_cross_entropy_adds_to_the_gradient_of_a_wide_leaf() {
    let (rows, width, vocabulary) = (21, 32, 97);
    let targets = targets(rows, vocabulary);
    for chunk in [8, 21] {
        let copy = wave(&[vocabulary, width], 1.0).to_kind(Kind::BFloat16);
        let master = copy.to_kind(Kind::Float).set_requires_grad(true);
        let hidden = (wave(&[rows, width], 0.0) * 0.125).to_kind(Kind::BFloat16);
        let run = || {
            let weight = HeadWeight { weight: &master, compute: &copy };
            (linear_cross_entropy(&hidden, weight, &targets, chunk).unwrap() * 0.5).backward();
        };
        run();
        let once = master.grad().copy();
        assert_eq!(once.kind(), Kind::Float);
        let place = master.grad().data_ptr();
        run();
        assert_eq!(master.grad().data_ptr(), place, "added in place");
        assert_close("second pass", &master.grad(), &(&once * 2.0), 1e-6);

        let reference = copy.to_kind(Kind::Float).set_requires_grad(true);
        let logits = hidden.to_kind(Kind::Float).matmul(&reference.tr());
        (logits.cross_entropy_loss::<Tensor>(&targets, None, Reduction::Sum, -100, 0.0) * 0.5).backward();
        assert_close("against fp32", &once, &reference.grad(), 1.5e-2);
    }
}

#[test]
fn linear_cross_entropy_without_rows_or_gradients() {
    let weight = wave(&[11, 4], 0.0).set_requires_grad(true);
    let none = wave(&[0, 4], 0.0).set_requires_grad(true);
    let loss = linear_cross_entropy(&none, HeadWeight::plain(&weight), &targets(0, 11), 8).unwrap();
    assert_eq!(loss.double_value(&[]), 0.0);
    loss.backward();
    assert_eq!(none.grad().size(), [0, 4]);

    let hidden = wave(&[5, 4], 0.0).set_requires_grad(true);
    let with = linear_cross_entropy(&hidden, HeadWeight::plain(&weight), &targets(5, 11), 2).unwrap();
    let without =
        tch::no_grad(|| linear_cross_entropy(&hidden, HeadWeight::plain(&weight), &targets(5, 11), 2))
            .unwrap();
    assert!(with.requires_grad());
    assert!(!without.requires_grad());
    assert_eq!(with.double_value(&[]), without.double_value(&[]));
}

#[test]
fn linear_cross_entropy_shows_a_bad_logit() {
    let weight = wave(&[11, 4], 0.0);
    for bad in [f64::NAN, f64::INFINITY] {
        let hidden = wave(&[5, 4], 0.0);
        let _ = hidden.narrow(0, 3, 1).fill_(bad);
        let loss = linear_cross_entropy(&hidden, HeadWeight::plain(&weight), &targets(5, 11), 2).unwrap();
        assert!(!loss.double_value(&[]).is_finite());
    }
}

#[test]
fn linear_cross_entropy_refuses_a_target_outside_the_vocabulary() {
    let (hidden, weight) = (wave(&[2, 4], 0.0), wave(&[11, 4], 0.0));
    for bad in [11, -1] {
        let targets = Tensor::from_slice(&[3_i64, bad]);
        let error = linear_cross_entropy(&hidden, HeadWeight::plain(&weight), &targets, 8).unwrap_err();
        assert!(error.to_string().contains("vocabulary"), "{error}");
    }
}

#[test]
fn cast_param_computes_narrow_and_collects_wide() {
    let master = wave(&[16, 8], 0.0).set_requires_grad(true);
    let copy = master.detach().to_kind(Kind::BFloat16);
    let node = cast_param(&master, &copy).unwrap();
    assert_eq!((node.kind(), node.data_ptr()), (Kind::BFloat16, copy.data_ptr()), "no data is copied");
    let input = wave(&[4, 8], 2.0).to_kind(Kind::BFloat16);
    let run = || input.matmul(&cast_param(&master, &copy).unwrap().tr()).sum(Kind::Float).backward();
    run();
    let once = master.grad().copy();
    assert_eq!(once.kind(), Kind::Float);
    let expected = input.to_kind(Kind::Float).sum_dim_intlist(0, false, Kind::Float).expand([16, 8], false);
    assert_close("gradient", &once, &expected, 1.5e-2);
    let place = master.grad().data_ptr();
    run();
    run();
    assert_eq!(master.grad().data_ptr(), place);
    assert_close("three passes", &master.grad(), &(once * 3.0), 1e-6);
}

#[test]
fn cast_param_refuses_what_does_not_fit() {
    let master = wave(&[4], 0.0).set_requires_grad(true);
    let copy = |shape: &[i64]| wave(shape, 0.0).to_kind(Kind::BFloat16);
    assert!(matches!(cast_param(&master, &copy(&[5])), Err(Error::InvalidArgument(_))));
    assert!(matches!(cast_param(&master.detach(), &copy(&[4])), Err(Error::InvalidArgument(_))));
}
