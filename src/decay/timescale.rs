//! A λ from how long a run is, or from how long a weight should last.

/// How long one trains, in epochs over a set of examples.
///
/// The fields have names, so that no two counts can be swapped.
///
/// ```
/// use burn_decay::TrainingLength;
///
/// let run = TrainingLength { epochs: 100.0, examples: 50_000, batch_size: 128 };
/// assert_eq!(run.steps(), 39_062.5);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrainingLength {
    /// How often each example is seen. More than 0; it need not be a whole number.
    pub epochs: f64,
    /// The number of examples in the training set. At least 1.
    pub examples: usize,
    /// The number of examples in a batch. At least 1.
    pub batch_size: usize,
}

impl TrainingLength {
    /// The number of steps, `epochs · examples / batch_size`.
    ///
    /// # Panics
    ///
    /// Panics where `epochs` is not finite and more than 0, and where another field is 0.
    #[must_use]
    #[track_caller]
    pub fn steps(&self) -> f64 {
        let Self {
            epochs,
            examples,
            batch_size,
        } = *self;
        assert!(
            epochs > 0.0 && epochs.is_finite(),
            "epochs must be greater than 0 and finite, but is {epochs}"
        );
        for (name, count) in [("examples", examples), ("batch_size", batch_size)] {
            assert!(count > 0, "{name} must be at least 1, but is 0");
        }
        epochs * examples as f64 / batch_size as f64
    }
}

/// λ for a run of some length, from a normalized λ that holds for runs of any length:
/// `λ_norm / √steps`, which is `λ_norm · √(b/(B·T))` with the batch size b, B examples in the training
/// set and T epochs.
///
/// The longer a run, in steps, the smaller the best λ; the paper finds that it falls with the root
/// of their number, B·T/b. A λ_norm found in short runs then does for the long one. See
/// [Decoupled Weight Decay Regularization](https://arxiv.org/abs/1711.05101), appendix B.1; it is
/// meant for [`DecayScaling::Schedule`](crate::DecayScaling::Schedule).
///
/// With warm restarts `epochs` is T_i, the length of the cycle. While all cycles are of one length
/// that is one λ. Where they grow, λ falls from cycle to cycle: at a restart, take a new optimizer
/// with the new λ, and give it the record of the old one.
///
/// ```
/// use burn_decay::{AdamWConfig, DecayScaling, TrainingLength, normalized_weight_decay};
///
/// let run = TrainingLength { epochs: 100.0, examples: 50_000, batch_size: 128 };
/// let weight_decay = normalized_weight_decay(0.05, run);
/// assert!((weight_decay - 2.53e-4).abs() < 1e-6);
///
/// let optimizer = AdamWConfig::new()
///     .with_weight_decay(weight_decay)
///     .with_decay_scaling(DecayScaling::Schedule { max_lr: 1e-3 })
///     .init();
/// ```
///
/// # Panics
///
/// Panics where [`TrainingLength::steps`] does.
#[must_use]
#[track_caller]
pub fn normalized_weight_decay(normalized: f64, run: TrainingLength) -> f64 {
    normalized / run.steps().sqrt()
}

/// How long a weight remembers: τ, the number of steps whose updates it averages.
///
/// With a constant δ the weight is a moving average of its updates over the last `τ = 1/δ` steps. It
/// is τ, counted in epochs, that stays the same for models and data of every size, and λ that follows
/// from it ([How to set AdamW's weight decay as you scale model and dataset
/// size](https://arxiv.org/abs/2405.13698)).
///
/// ```
/// use burn_decay::{AdamWConfig, Timescale, TrainingLength};
///
/// // An average over 20 epochs.
/// let epochs = TrainingLength { epochs: 20.0, examples: 50_000, batch_size: 100 };
/// let timescale = Timescale::from_epochs(epochs);
/// assert_eq!(timescale.steps(), 10_000.0);
///
/// let lr = 1e-3;
/// let optimizer = AdamWConfig::new()
///     .with_weight_decay(timescale.weight_decay(lr)) // 0.1
///     .init();
/// // Without updates half of a weight is left after 14 epochs.
/// assert!((timescale.half_life() - 6_931.1).abs() < 0.1);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[must_use]
pub struct Timescale {
    steps: f64,
}

impl Timescale {
    /// τ in steps.
    ///
    /// # Panics
    ///
    /// Panics where it is less than 1, with which more than the whole weight would decay in a step, or
    /// not finite.
    #[track_caller]
    pub fn from_steps(steps: f64) -> Self {
        assert!(
            steps >= 1.0 && steps.is_finite(),
            "the timescale must be at least 1 step and finite, but is {steps}"
        );
        Self { steps }
    }

    /// τ in epochs.
    ///
    /// # Panics
    ///
    /// Panics where [`TrainingLength::steps`] does, and where they are less than 1.
    #[track_caller]
    pub fn from_epochs(epochs: TrainingLength) -> Self {
        Self::from_steps(epochs.steps())
    }

    /// The timescale of a decay which takes the share δ of a weight in each step, as
    /// [`DecayScaling::coefficient`](crate::DecayScaling::coefficient) gives it: `τ = 1/δ`.
    ///
    /// # Panics
    ///
    /// Panics where δ is not greater than 0 and at most 1, and where it is so small that τ is not finite.
    #[track_caller]
    pub fn from_coefficient(delta: f64) -> Self {
        assert!(
            delta > 0.0 && delta <= 1.0,
            "the decay of a step, δ, must be greater than 0 and at most 1, but is {delta}"
        );
        Self::from_steps(1.0 / delta)
    }

    /// τ, in steps.
    #[must_use]
    pub fn steps(&self) -> f64 {
        self.steps
    }

    /// δ, the share of a weight that decays in a step: `1/τ`. It is also λ for
    /// [`DecayScaling::Schedule`](crate::DecayScaling::Schedule).
    #[must_use]
    pub fn coefficient(&self) -> f64 {
        1.0 / self.steps
    }

    /// λ at a learning rate: `1/(lr·τ)`, for
    /// [`DecayScaling::LearningRate`](crate::DecayScaling::LearningRate). With a schedule, at its
    /// largest rate.
    ///
    /// # Panics
    ///
    /// Panics where `lr` is not finite and greater than 0.
    #[must_use]
    #[track_caller]
    pub fn weight_decay(&self, lr: f64) -> f64 {
        assert!(
            lr > 0.0 && lr.is_finite(),
            "the learning rate must be greater than 0 and finite, but is {lr}"
        );
        self.coefficient() / lr
    }

    /// The number of steps after which half of a weight without updates is left:
    /// `ln(1/2) / ln(1 - 1/τ)`, nearly 0.69 τ.
    #[must_use]
    pub fn half_life(&self) -> f64 {
        0.5f64.ln() / (-self.coefficient()).ln_1p()
    }
}
