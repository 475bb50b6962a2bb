//! The options that the configurations are made of, each written down once.
//!
//! [`config!`] puts a configuration together from groups of them. It gives what Burn's `Config`
//! derive gives, and files that outlive a version: a field that a file lacks has its default, and
//! one that the configuration lacks is an error that names it.

use burn::optim::momentum::MomentumConfig;
use burn::serde::{Deserialize, Deserializer};

/// `config! { /// What it configures. pub struct AdamWConfig: adam decoupled moments; }`
macro_rules! config {
    ($(#[doc = $doc:literal])* pub struct $config:ident: $($group:ident)+;) => {
        $crate::options::config! { @groups $($group)+ common; $config [$($doc)*] }
    };

    (@groups adam $($groups:ident)*; $config:ident $docs:tt $($fields:tt)*) => {
        $crate::options::config! { @groups $($groups)*; $config $docs $($fields)*
            /// β₁, the decay rate of the first moment. In [0, 1).
            with_beta_1 => beta_1: f64 = 0.9,
            /// β₂, the decay rate of the second moment. In [0, 1).
            with_beta_2 => beta_2: f64 = 0.999,
            /// ε, added to the root of the second moment. Greater than 0, and finite in f32.
            with_epsilon => epsilon: f64 = 1e-5,
            /// AMSGrad: whether the largest second moment so far takes the place of the second
            /// moment
            /// ([On the Convergence of Adam and Beyond](https://openreview.net/forum?id=ryQu7f-RZ)).
            with_amsgrad => amsgrad: bool = false,
        }

        impl $config {
            fn rule(&self) -> $crate::adam::Adam {
                $crate::adam::Adam {
                    beta_1: self.beta_1,
                    beta_2: self.beta_2,
                    epsilon: self.epsilon,
                    amsgrad: self.amsgrad,
                    moment_precision: self.moment_precision,
                    master_weights: self.master_weights,
                    decay: self.decay(),
                }
            }
        }
    };

    (@groups sgd $($groups:ident)*; $config:ident $docs:tt $($fields:tt)*) => {
        $crate::options::config! { @groups $($groups)*; $config $docs $($fields)*
            /// Momentum μ and dampening, both in [0, 1), and whether Nesterov's look-ahead is
            /// taken. Burn's `MomentumConfig` dampens by 0.1 unless told otherwise; PyTorch's
            /// default is 0.
            #[serde(deserialize_with = "crate::options::momentum")]
            with_momentum => momentum: Option<burn::optim::momentum::MomentumConfig> = None,
        }

        impl $config {
            fn rule(&self) -> $crate::sgd::Sgd {
                $crate::sgd::Sgd {
                    momentum: self.momentum.clone(),
                    moment_precision: self.moment_precision,
                    master_weights: self.master_weights,
                    decay: self.decay(),
                }
            }
        }
    };

    (@groups coupled $($groups:ident)*; $config:ident $docs:tt $($fields:tt)*) => {
        $crate::options::config! { @groups $($groups)*; $config $docs $($fields)*
            /// λ, the coefficient of the penalty `λ/2·‖θ‖²`. Not negative, and finite in f32. Files
            /// may have it as Burn's own: `weight_decay`, with the penalty in it or null for none.
            #[serde(alias = "weight_decay", deserialize_with = "crate::options::penalty")]
            with_l2_penalty => l2_penalty: f64 = 1e-4,
        }

        impl $config {
            fn decay(&self) -> $crate::decay::Decay {
                $crate::decay::Decay {
                    coupling: $crate::decay::Coupling::L2 {
                        penalty: self.l2_penalty,
                    },
                    schedule: self.decay_schedule,
                    target: self.decay_target,
                    vectors: self.decay_vectors,
                }
            }

            /// The same without a penalty, for a group of parameters that has none
            /// ([`Undecayed`](crate::Undecayed)): λ is 0, and no schedule moves it.
            pub fn without_decay(self) -> Self {
                self.with_l2_penalty(0.0)
                    .with_decay_schedule(DecaySchedule::Constant)
                    .with_decay_target(DecayTarget::Zero)
            }
        }
    };

    (@groups decoupled $($groups:ident)*; $config:ident $docs:tt $($fields:tt)*) => {
        $crate::options::config! { @groups $($groups)*; $config $docs $($fields)*
            /// λ, the coefficient of the decay, in the unit that `decay_scaling` gives it. Not
            /// negative, and finite in f32.
            with_weight_decay => weight_decay: f64 = 1e-4,
            /// λ₁, the coefficient of the decoupled L1 decay, in the same unit. After the rest of the
            /// step every magnitude shrinks by δ₁, the same for all weights, and what is smaller
            /// becomes 0 (or the target of the decay) exactly. With λ it is an elastic net. Not
            /// negative, and finite in f32.
            with_l1_decay => l1_decay: f64 = 0.0,
            /// What scales the decay: the learning rate, or the schedule alone. It sets the unit of
            /// λ: what is 1e-2 beside the learning rate is `max_lr` · 1e-2 beside the schedule.
            with_decay_scaling => decay_scaling: DecayScaling = DecayScaling::LearningRate,
            /// Cautious decay: whether a weight is left undecayed by λ while its update moves it
            /// away from 0, so that the decay never works against the update. Where the update is 0,
            /// weights of both signs decay
            /// ([Cautious Weight Decay](https://arxiv.org/abs/2510.12402), algorithm 1).
            with_cautious_weight_decay => cautious_weight_decay: bool = false,
        }

        impl $config {
            fn decay(&self) -> $crate::decay::Decay {
                $crate::decay::Decay {
                    coupling: $crate::decay::Coupling::Decoupled {
                        weight_decay: self.weight_decay,
                        l1_decay: self.l1_decay,
                        scaling: self.decay_scaling,
                        cautious: self.cautious_weight_decay,
                        stochastic_rounding: self.stochastic_rounding,
                    },
                    schedule: self.decay_schedule,
                    target: self.decay_target,
                    vectors: self.decay_vectors,
                }
            }

            /// The same without a decay, for a group of parameters that has none
            /// ([`Undecayed`](crate::Undecayed)): λ and λ₁ are 0, and no schedule moves λ.
            pub fn without_decay(self) -> Self {
                self.with_weight_decay(0.0)
                    .with_l1_decay(0.0)
                    .with_decay_schedule(DecaySchedule::Constant)
                    .with_decay_target(DecayTarget::Zero)
            }
        }
    };

    (@groups nearest $($groups:ident)*; $config:ident $docs:tt $($fields:tt)*) => {
        $crate::options::config! { @rounding false; $($groups)*; $config $docs $($fields)* }
    };

    (@groups stochastic $($groups:ident)*; $config:ident $docs:tt $($fields:tt)*) => {
        $crate::options::config! { @rounding true; $($groups)*; $config $docs $($fields)* }
    };

    (@rounding $default:literal; $($groups:ident)*; $config:ident $docs:tt $($fields:tt)*) => {
        $crate::options::config! { @groups $($groups)*; $config $docs $($fields)*
            /// Stochastic rounding: whether a new weight, where it decays, is one of the two neighbours
            /// of the exact result at random, by how near each is, and not the nearest. A decay below
            /// half of its last bit then counts, on average, also where the updates do not vary: are
            /// all of one size, as Lion's, or 0
            /// ([How a decay gets lost](crate::guide::fidelity#what-one-rounding-cannot-do)). Rounding
            /// is seeded by the step and the element's index, so that a run can be repeated. Nothing
            /// changes in f64.
            with_stochastic_rounding => stochastic_rounding: bool = $default,
        }
    };

    (@groups moments $($groups:ident)*; $config:ident $docs:tt $($fields:tt)*) => {
        $crate::options::config! { @groups $($groups)*; $config $docs $($fields)*
            /// How the moments, or SGD's velocity, are kept: in full, in bf16, or in 8 bits.
            with_moment_precision => moment_precision: MomentPrecision = MomentPrecision::Full,
        }
    };

    (@groups common; $config:ident $docs:tt $($fields:tt)*) => {
        $crate::options::config! { @declare $config $docs $($fields)*
            /// Whether parameters of one dimension or none (biases, the weights of norms) decay, or are
            /// penalized, too.
            with_decay_vectors => decay_vectors: bool = true,
            /// How λ changes over the steps; λ itself is what the first step has.
            with_decay_schedule => decay_schedule: DecaySchedule = DecaySchedule::Constant,
            /// What the weights decay towards: 0, or where training began.
            with_decay_target => decay_target: DecayTarget = DecayTarget::Zero,
            /// Whether the optimizer keeps what rounding takes from a parameter in f16 or bf16, so
            /// that training goes on as in f32: in 4 bytes a parameter, or 2 in bf16 on Flex and in
            /// records. Nothing changes for parameters in f32 and f64.
            with_master_weights => master_weights: bool = true,
            /// Clipping of each parameter's gradient, before anything else is done with it.
            #[serde(alias = "gradient_clipping")]
            with_grad_clipping =>
                grad_clipping: Option<burn::grad_clipping::GradientClippingConfig> = None,
        }
    };

    (@declare $config:ident [$($doc:literal)*] $(
        $(#[doc = $field_doc:literal])*
        $(#[serde($($serde:tt)*)])?
        $with:ident => $field:ident: $type:ty = $default:expr,
    )*) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, burn::serde::Serialize, burn::serde::Deserialize)]
        #[serde(crate = "burn::serde", default, deny_unknown_fields)]
        #[must_use]
        #[non_exhaustive]
        pub struct $config {
            $(
                $(#[doc = $field_doc])*
                $(#[serde($($serde)*)])?
                pub $field: $type,
            )*
        }

        impl $config {
            /// The defaults.
            pub fn new() -> Self {
                Self { $($field: $default,)* }
            }

            $(
                $(#[doc = $field_doc])*
                ///
                #[doc = concat!("Default: `", stringify!($default), "`.")]
                pub fn $with(mut self, $field: $type) -> Self {
                    self.$field = $field;
                    self
                }
            )*
        }

        impl Default for $config {
            fn default() -> Self {
                Self::new()
            }
        }

        /// By what is shown of it: Burn's configurations within have no equality of their own.
        impl PartialEq for $config {
            fn eq(&self, other: &Self) -> bool {
                format!("{self:?}") == format!("{other:?}")
            }
        }

        impl burn::config::Config for $config {}

        /// As JSON, as it is saved.
        impl core::fmt::Display for $config {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(&burn::config::config_to_json(self))
            }
        }
    };
}
pub(crate) use config;

/// Burn's momentum, of whose fields a file may lack any but have no other.
pub(crate) fn momentum<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<MomentumConfig>, D::Error> {
    #[derive(Deserialize)]
    #[serde(crate = "burn::serde", default, deny_unknown_fields)]
    struct Saved {
        momentum: f64,
        dampening: f64,
        nesterov: bool,
    }

    impl Default for Saved {
        fn default() -> Self {
            let MomentumConfig {
                momentum,
                dampening,
                nesterov,
            } = MomentumConfig::new();
            Self {
                momentum,
                dampening,
                nesterov,
            }
        }
    }

    let saved = Option::<Saved>::deserialize(deserializer)?;
    Ok(saved.map(|saved| MomentumConfig {
        momentum: saved.momentum,
        dampening: saved.dampening,
        nesterov: saved.nesterov,
    }))
}

/// λ of a coupled penalty: ours is a number, Burn's own `{"penalty": λ}`, or null for none.
pub(crate) fn penalty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    #[derive(Deserialize)]
    #[serde(
        crate = "burn::serde",
        untagged,
        expecting = "the L2 penalty must be a number, {\"penalty\": number} or null"
    )]
    enum Saved {
        Number(f64),
        Burns(Burns),
        None(()),
    }

    #[derive(Deserialize)]
    #[serde(crate = "burn::serde", deny_unknown_fields)]
    struct Burns {
        penalty: f64,
    }

    Ok(match Saved::deserialize(deserializer)? {
        Saved::Number(penalty) | Saved::Burns(Burns { penalty }) => penalty,
        Saved::None(()) => 0.0,
    })
}
