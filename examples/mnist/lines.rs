//! A line an epoch, where there is no terminal for Burn's TUI.

use burn::train::{logger::*, metric::*, renderer::*};

pub struct Lines;

impl MetricsRendererTraining for Lines {
    fn update_train(&mut self, state: MetricState) {
        if let MetricState::Numeric(_, Some(NumericEntry::Final(value))) = state {
            print!("{value:10.4}");
        }
    }
    fn update_valid(&mut self, state: MetricState) {
        self.update_train(state);
    }
}

impl TrainingProgressLogger for Lines {
    fn update_epoch(&mut self, epoch: usize) {
        println!("  epoch {epoch}");
    }
    fn start(&mut self, _: usize, _: usize, _: Option<usize>, _: Option<&str>) {}
    fn start_split(&mut self, _: &str, _: usize) {}
    fn update_split(&mut self, _: usize) {}
    fn end_split(&mut self) {}
    fn end(&mut self) {}
    fn log_event_training(&mut self, _: String) {}
}

impl MetricsRenderer for Lines {
    fn register_metric(&mut self, _: MetricDefinition) {}
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
