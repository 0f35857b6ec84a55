//! The optimizer's operations against formulas written out here.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use evenkeel_torch_ext::Error;
use evenkeel_torch_ext::optim::{
    AdamW, AdamWTensors, copy_list, fused_adamw_step, grad_norm, scale_in_place,
};
use tch::{Device, Kind, Tensor};

const SETTINGS: AdamW = AdamW { learning_rate: 1e-2, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1 };

fn wave(count: i64, phase: f64) -> Tensor {
    (Tensor::arange(count, (Kind::Float, Device::Cpu)) + phase).sin()
}

fn values(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.to_kind(Kind::Double).reshape([-1])).unwrap()
}

#[test]
fn adamw_follows_its_formula() {
    let sizes = [37, 1, 5000];
    let params: Vec<Tensor> = sizes.iter().map(|&size| wave(size, 0.5)).collect();
    let zeros = || -> Vec<Tensor> { params.iter().map(Tensor::zeros_like).collect() };
    let (exp_avgs, exp_avg_sqs) = (zeros(), zeros());
    let mut expected: Vec<Vec<[f64; 3]>> = params
        .iter()
        .map(|param| values(param).into_iter().map(|value| [value, 0.0, 0.0]).collect())
        .collect();
    for step in 1..=5_u64 {
        let grads: Vec<Tensor> = sizes.iter().map(|&size| wave(size, step as f64)).collect();
        for (states, grad) in expected.iter_mut().zip(&grads) {
            for (state, gradient) in states.iter_mut().zip(values(grad)) {
                *state = adamw(*state, gradient, step);
            }
        }
        let tensors =
            AdamWTensors { params: &params, grads: &grads, exp_avgs: &exp_avgs, exp_avg_sqs: &exp_avg_sqs };
        fused_adamw_step(&tensors, step, &SETTINGS).unwrap();
    }
    for (place, list) in [&params, &exp_avgs, &exp_avg_sqs].into_iter().enumerate() {
        for (tensor, states) in list.iter().zip(&expected) {
            for (actual, state) in values(tensor).into_iter().zip(states) {
                assert!((actual - state[place]).abs() < 2e-6, "{place}: {actual} against {}", state[place]);
            }
        }
    }
}

/// Parameter and two moments after one step.
fn adamw([param, first, second]: [f64; 3], gradient: f64, step: u64) -> [f64; 3] {
    let power = i32::try_from(step).unwrap();
    let first = SETTINGS.beta1 * first + (1.0 - SETTINGS.beta1) * gradient;
    let second = SETTINGS.beta2 * second + (1.0 - SETTINGS.beta2) * gradient * gradient;
    let first_hat = first / (1.0 - SETTINGS.beta1.powi(power));
    let second_hat = second / (1.0 - SETTINGS.beta2.powi(power));
    let decayed = param * (1.0 - SETTINGS.learning_rate * SETTINGS.weight_decay);
    [decayed - SETTINGS.learning_rate * first_hat / (second_hat.sqrt() + SETTINGS.eps), first, second]
}

#[test]
fn adamw_refuses_lists_that_do_not_fit() {
    let one = [wave(3, 0.0)];
    let none: [Tensor; 0] = [];
    let tensors = AdamWTensors { params: &one[..], grads: &none[..], exp_avgs: &one, exp_avg_sqs: &one };
    let error = fused_adamw_step(&tensors, 1, &SETTINGS).unwrap_err();
    assert!(matches!(&error, Error::InvalidArgument(text) if text.contains("gradients")), "{error:?}");
    let tensors = AdamWTensors { params: &one, grads: &one, exp_avgs: &one, exp_avg_sqs: &one };
    assert!(matches!(fused_adamw_step(&tensors, 0, &SETTINGS), Err(Error::InvalidArgument(_))));
}

#[test]
fn the_norm_goes_over_all_elements_of_all_tensors() {
    let grads = [wave(1000, 0.0), wave(1, 2.0), wave(33, 1.0).reshape([3, 11])];
    let expected = grads.iter().flat_map(values).map(|value| value * value).sum::<f64>().sqrt();
    let actual = grad_norm(&grads).unwrap();
    assert!((actual - expected).abs() < 1e-5 * expected, "{actual} against {expected}");
    let none: [Tensor; 0] = [];
    assert_eq!(grad_norm(&none).unwrap(), 0.0);
}

#[test]
fn a_norm_with_a_bad_element_is_not_finite() {
    for bad in [f64::NAN, f64::INFINITY] {
        let grads = [wave(100, 0.0), Tensor::full([3], bad, (Kind::Float, Device::Cpu))];
        assert!(!grad_norm(&grads).unwrap().is_finite());
    }
}

#[test]
fn scaling_and_copying_work_in_place() {
    let narrow = [wave(5, 0.0).to_kind(Kind::BFloat16), wave(3, 1.0).to_kind(Kind::BFloat16)];
    let wide = [wave(5, 3.0), wave(3, 4.0)];
    let place = narrow[0].data_ptr();
    copy_list(&narrow, &wide).unwrap();
    assert_eq!(narrow[0].data_ptr(), place);
    assert_eq!(values(&narrow[1]), values(&wide[1].to_kind(Kind::BFloat16)));
    let before = values(&wide[0]);
    scale_in_place(&wide, 0.5).unwrap();
    let after: Vec<f64> = before.iter().map(|value| value * 0.5).collect();
    assert_eq!(values(&wide[0]), after);
    assert!(matches!(copy_list(&narrow, &wide[..1]), Err(Error::InvalidArgument(_))));
}
