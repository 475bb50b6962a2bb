//! A line an epoch, where there is no terminal for Burn's TUI.

use burn::train::logger::{EvaluationProgressLogger, TrainingProgressLogger};
use burn::train::metric::{MetricDefinition, NumericEntry};
use burn::train::renderer::*;

/// Loss and accuracy of the epoch: of the training images, then of the test images.
#[derive(Default)]
pub struct Lines(Vec<f64>);

impl MetricsRendererTraining for Lines {
    fn update_train(&mut self, state: MetricState) {
        if let MetricState::Numeric(_, Some(NumericEntry::Final(value))) = state {
            self.0.push(value);
        }
    }
    fn update_valid(&mut self, state: MetricState) {
        self.update_train(state);
    }
}

impl TrainingProgressLogger for Lines {
    fn start(&mut self, epochs: usize, _: usize, _: Option<usize>, label: Option<&str>) {
        println!(
            "\n{}, {epochs} epochs: loss and accuracy",
            label.unwrap_or_default()
        );
    }
    fn update_epoch(&mut self, epoch: usize) {
        if let [loss, accuracy, test_loss, test_accuracy] = self.0[..] {
            print!("{epoch:4}  train {loss:.4} {accuracy:6.2} %");
            println!("  test {test_loss:.4} {test_accuracy:6.2} %");
        }
        self.0.clear();
    }
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
