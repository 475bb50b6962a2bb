//! The norm of the weights as a metric, beside Burn's loss and accuracy.

use std::sync::Arc;

use burn::tensor::{ExecutionError, Tensor, TensorReadError};
use burn::train::ClassificationOutput;
use burn::train::metric::state::{FormatOptions, NumericMetricState};
use burn::train::metric::{
    AccuracyInput, Adaptor, ItemLazy, LossInput, Metric, MetricAttributes, MetricMetadata,
    MetricName, Numeric, NumericAttributes, NumericEntry, SerializedEntry,
};

/// What the test digits show of a model.
pub struct Evaluation {
    pub classification: ClassificationOutput,
    pub weight_norm: Tensor<1>,
}

impl ItemLazy for Evaluation {
    fn sync(self) -> Result<Self, ExecutionError> {
        Ok(Self {
            classification: self.classification.sync()?,
            ..self
        })
    }
}

impl Adaptor<LossInput> for Evaluation {
    fn adapt(&self) -> LossInput {
        self.classification.adapt()
    }
}

impl Adaptor<AccuracyInput> for Evaluation {
    fn adapt(&self) -> AccuracyInput {
        self.classification.adapt()
    }
}

impl Adaptor<Tensor<1>> for Evaluation {
    fn adapt(&self) -> Tensor<1> {
        self.weight_norm.clone()
    }
}

#[derive(Clone)]
pub struct WeightNormMetric {
    name: MetricName,
    state: NumericMetricState,
}

impl WeightNormMetric {
    pub const NAME: &str = "Weight norm";

    pub fn new() -> Self {
        Self {
            name: Arc::new(Self::NAME.into()),
            state: NumericMetricState::default(),
        }
    }

    fn format(&self) -> FormatOptions {
        FormatOptions::new(self.name()).precision(3)
    }
}

impl Metric for WeightNormMetric {
    type Input = Tensor<1>;

    fn update(
        &mut self,
        norm: &Tensor<1>,
        _: &MetricMetadata,
    ) -> Result<SerializedEntry, TensorReadError> {
        self.state.update(norm.clone().try_into_scalar::<f64>()?, 1);
        Ok(self.state.compute_update(self.format()))
    }

    fn compute(&mut self) -> Result<SerializedEntry, TensorReadError> {
        Ok(self.state.compute_final(self.format()))
    }

    fn clear(&mut self) {
        self.state.reset();
    }

    fn name(&self) -> MetricName {
        self.name.clone()
    }

    fn attributes(&self) -> MetricAttributes {
        NumericAttributes {
            unit: None,
            higher_is_better: false,
        }
        .into()
    }
}

impl Numeric for WeightNormMetric {
    fn value(&self) -> Option<NumericEntry> {
        Some(self.state.current_value())
    }

    fn running_value(&self) -> Option<NumericEntry> {
        Some(self.state.running_value())
    }

    fn final_value(&self) -> NumericEntry {
        self.state.final_value()
    }
}
