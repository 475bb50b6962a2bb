//! Weight decay, a page a topic: what it is, what goes wrong with it, and how to set it.
//!
//! 1. [The L2 penalty and weight decay](l2_and_decay), and what momentum and Adam make of them
//! 2. [The two scalings](scaling), and how to translate a λ from other libraries
//! 3. [Fidelity](fidelity): how a decay gets lost, and why it does not here
//! 4. [Normalized decay](normalized_decay): a λ for runs of any length
//! 5. [Warm restarts](warm_restarts): the schedule, and AdamWR
//! 6. [What to leave undecayed](undecayed)

macro_rules! page {
    ($($page:ident),*) => {$(
        #[doc = include_str!(concat!("guide/", stringify!($page), ".md"))]
        pub mod $page {}
    )*};
}

page!(
    l2_and_decay,
    scaling,
    fidelity,
    normalized_decay,
    warm_restarts,
    undecayed
);
