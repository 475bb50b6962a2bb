//! Weight decay: what it is, how it gets lost, and how to set it.
//!
//! Understand it:
//!
//! 1. [L2 penalty and weight decay](l2_and_decay): what momentum and Adam make of them, which
//!    optimizer to take, cautious decay, penalties as terms of the loss
//! 2. [Fidelity](fidelity): how a decay gets lost in rounding, and what half precision does to it
//!
//! Set it:
//!
//! 3. [The two scalings](scaling): what λ is multiplied by, and the same decay in PyTorch, optax
//!    and Keras
//! 4. [Normalized decay](normalized_decay): a λ for runs of any length
//! 5. [Warm restarts](warm_restarts): the schedule, and AdamWR
//! 6. [What to leave undecayed](undecayed): biases, norm weights, embeddings
//! 7. [Every way to decay](ways): schedules of λ, corrected decay, towards the start, L1, on any
//!    optimizer of Burn's
//! 8. [Recipes and questions](recipes): DINOv2, a GPT, fine-tuning, ResNet, Muon; embeddings, LoRA, tied
//!    weights
//!
//! Run it:
//!
//! 9. [Several devices](several_devices): and gradient accumulation
//! 10. [Backends](backends): features, precisions, devices, and what has been tested
//! 11. [Speed](speed): a step on the CPU and the GPU, measured
//! 12. [Small moments](small_moments): in bf16 and in 8 bits
//! 13. [Checkpoints](checkpoints): to Burn's optimizers and back, and saved configurations
//! 14. [Faults](faults): what goes wrong, and what happens then
//! 15. [Comparison](comparison): beside Burn's and PyTorch's own

macro_rules! page {
    ($($page:ident),*) => {$(
        #[doc = include_str!(concat!("guide/", stringify!($page), ".md"))]
        pub mod $page {}
    )*};
}

page!(
    l2_and_decay,
    fidelity,
    scaling,
    normalized_decay,
    warm_restarts,
    undecayed,
    recipes,
    several_devices,
    backends,
    speed,
    small_moments,
    checkpoints,
    faults,
    comparison
);

#[doc = include_str!("guide/ways.md")]
#[doc = include_str!("guide/paths.svg")] // which examples/paths.rs draws
pub mod ways {}
