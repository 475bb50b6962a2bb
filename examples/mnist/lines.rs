//! A line an epoch, where there is no terminal for Burn's TUI.

use std::collections::HashMap;

use burn::train::logger::{EvaluationProgressLogger, TrainingProgressLogger};
use burn::train::metric::{MetricDefinition, MetricId, NumericEntry};
use burn::train::renderer::{
    EvaluationName, MetricState, MetricsRenderer, MetricsRendererEvaluation,
    MetricsRendererTraining,
};

#[derive(Default)]
pub struct Lines {
    label: String,
    epochs: usize,
    names: HashMap<MetricId, String>,
    values: Vec<String>,
}

impl Lines {
    fn collect(&mut self, split: &str, state: MetricState) {
        if let MetricState::Numeric(entry, Some(NumericEntry::Final(value))) = state {
            let name = self.names.get(&entry.metric_id).map_or("", String::as_str);
            self.values
                .push(format!("{split} {} {value:.4}", name.to_lowercase()));
        }
    }
}

impl MetricsRendererTraining for Lines {
    fn update_train(&mut self, state: MetricState) {
        self.collect("train", state);
    }

    fn update_valid(&mut self, state: MetricState) {
        self.collect("test", state);
    }
}

impl TrainingProgressLogger for Lines {
    fn start(&mut self, epochs: usize, _: usize, _: Option<usize>, label: Option<&str>) {
        self.epochs = epochs;
        self.label = label.unwrap_or("training").to_owned();
    }

    fn update_epoch(&mut self, epoch: usize) {
        let Self {
            label,
            epochs,
            values,
            ..
        } = self;
        println!("{label:8} epoch {epoch:2}/{epochs}  {}", values.join("  "));
        values.clear();
    }

    fn start_split(&mut self, _: &str, _: usize) {}
    fn update_split(&mut self, _: usize) {}
    fn end_split(&mut self) {}
    fn end(&mut self) {}
    fn log_event_training(&mut self, _: String) {}
}

impl MetricsRenderer for Lines {
    fn register_metric(&mut self, definition: MetricDefinition) {
        self.names
            .insert(definition.metric_id, definition.name.to_string());
    }

    fn manual_close(&mut self) {}
}

impl MetricsRendererEvaluation for Lines {
    fn update_test(&mut self, _: EvaluationName, _: MetricState) {}
}

impl EvaluationProgressLogger for Lines {
    fn start_global_progress(&mut self, _: usize) {}
    fn start_test(&mut self, _: &str, _: usize) {}
    fn update_test_progress(&mut self, _: usize) {}
    fn end_test(&mut self) {}
    fn end_global_progress(&mut self) {}
    fn log_event_evaluation(&mut self, _: String) {}
}
