//! AdamW over float32 masters.

use super::TrainError;
use crate::model::{Llama, Parameter};
use evenkeel_shared::config::Optimizer as Settings;
use evenkeel_torch_ext::optim;
use tch::{Kind, Tensor};

/// AdamW with decoupled weight decay on matrices only (Loshchilov & Hutter 2019), one fused pass over all tensors.
#[derive(Debug)]
pub struct AdamW {
    settings: Settings,
    groups: [Group; 2],
    copies: Vec<Tensor>,
    copied: Vec<Tensor>,
}

/// Parameters with the same weight decay.
#[derive(Debug)]
struct Group {
    weight_decay: f64,
    names: Vec<String>,
    masters: Vec<Tensor>,
    means: Vec<Tensor>,
    squares: Vec<Tensor>,
}

/// The running means of one parameter, as they stand in a checkpoint.
#[derive(Debug)]
pub struct Moments {
    /// Running mean of the gradient.
    pub mean: Tensor,
    /// Running mean of the squared gradient.
    pub square: Tensor,
}

impl AdamW {
    /// An optimizer for a model; `moments` gives a parameter's saved running means, or `None` to start at zero.
    ///
    /// # Errors
    /// libtorch's (out of memory), whatever `moments` returns.
    pub fn new(
        model: &Llama,
        settings: &Settings,
        mut moments: impl FnMut(&Parameter) -> Result<Option<Moments>, TrainError>,
    ) -> Result<Self, TrainError> {
        let mut groups = [Group::with_decay(settings.weight_decay), Group::with_decay(0.0)];
        let (mut copies, mut copied) = (Vec::new(), Vec::new());
        for parameter in model.parameters() {
            let master = parameter.master().detach();
            let device = master.device();
            let moments = match moments(parameter)? {
                Some(saved) => Moments {
                    mean: saved.mean.f_to_device(device)?,
                    square: saved.square.f_to_device(device)?,
                },
                None => Moments { mean: master.f_zeros_like()?, square: master.f_zeros_like()? },
            };
            if let Some(copy) = parameter.copy() {
                copies.push(copy.shallow_clone());
                copied.push(master.shallow_clone());
            }
            let group = &mut groups[usize::from(!parameter.is_decayed())];
            group.names.push(parameter.name().to_string());
            group.masters.push(master);
            group.means.push(moments.mean);
            group.squares.push(moments.square);
        }
        Ok(Self { settings: settings.clone(), groups, copies, copied })
    }

    /// One update. `step` counts from 1.
    ///
    /// # Errors
    /// libtorch's.
    pub fn step(&mut self, gradients: &Gradients, step: u64, learning_rate: f64) -> Result<(), TrainError> {
        for (group, gradients) in self.groups.iter().zip(&gradients.groups) {
            let settings = optim::AdamW {
                learning_rate,
                beta1: self.settings.beta1,
                beta2: self.settings.beta2,
                eps: self.settings.eps,
                weight_decay: group.weight_decay,
            };
            let tensors = optim::AdamWTensors {
                params: &group.masters,
                grads: gradients,
                exp_avgs: &group.means,
                exp_avg_sqs: &group.squares,
            };
            optim::fused_adamw_step(&tensors, step, &settings)?;
        }
        if !self.copies.is_empty() {
            optim::copy_list(&self.copies, &self.copied)?;
        }
        Ok(())
    }

    /// Every parameter's running means, with the parameter's name.
    pub fn moments(&self) -> impl Iterator<Item = (&str, &Tensor, &Tensor)> {
        self.groups.iter().flat_map(|group| {
            let tensors = group.means.iter().zip(&group.squares);
            group.names.iter().zip(tensors).map(|(name, (mean, square))| (name.as_str(), mean, square))
        })
    }
}

impl Group {
    fn with_decay(weight_decay: f64) -> Self {
        Self { weight_decay, names: vec![], masters: vec![], means: vec![], squares: vec![] }
    }
}

/// The gradients of a model, in the optimizer's groups; views of the Reducer's buckets, the same in every step.
#[derive(Debug)]
pub struct Gradients {
    groups: [Vec<Tensor>; 2],
}

impl Gradients {
    /// Takes hold of the gradients once they exist.
    ///
    /// # Errors
    /// A parameter without one.
    pub fn of(model: &Llama) -> Result<Self, TrainError> {
        let mut groups = [Vec::new(), Vec::new()];
        for parameter in model.parameters() {
            let gradient = parameter.master().f_grad()?;
            if !gradient.defined() {
                return Err(TrainError::NoGradient(parameter.name().to_string()));
            }
            groups[usize::from(!parameter.is_decayed())].push(gradient);
        }
        Ok(Self { groups })
    }
}

/// A checksum of the masters: equal on ranks that hold equal weights, whatever their number of threads and instruction set,
/// because it adds up the bits as integers.
///
/// # Errors
/// libtorch's.
pub fn weights_checksum(model: &Llama) -> Result<Tensor, TrainError> {
    let sums = model
        .parameters()
        .iter()
        .map(|parameter| parameter.master().detach().f_view_dtype(Kind::Int)?.f_sum(Kind::Int64))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Tensor::f_stack(&sums, 0)?)
}
