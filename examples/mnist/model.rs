//! The classifier, and the one step that it learns by.

use burn::nn::{Linear, LinearConfig, loss::CrossEntropyLossConfig};
use burn::tensor::{Device, activation::relu};
use burn::{module::Module, train::*};

use crate::batches::Batch;
use crate::digits::{CLASSES, SIDE};

#[derive(Module, Debug)]
pub struct Classifier {
    pub layers: [Linear; 3],
}

impl Classifier {
    /// The same weights each time.
    pub fn new(device: &Device) -> Self {
        device.seed(42);
        let layers = [(SIDE * SIDE, 512), (512, 512), (512, CLASSES)];
        let layers = layers.map(|(from, to)| LinearConfig::new(from, to).init(device));
        Self { layers }
    }
}

impl InferenceStep for Classifier {
    type Input = Batch;
    type Output = ClassificationOutput;
    fn step(&self, (images, labels): Batch) -> ClassificationOutput {
        let [first, second, last] = &self.layers;
        let logits = last.forward(relu(second.forward(relu(first.forward(images)))));
        let loss = CrossEntropyLossConfig::new().init(&logits.device());
        let loss = loss.forward(logits.clone(), labels.clone());
        ClassificationOutput::new(loss, logits, labels)
    }
}

impl TrainStep for Classifier {
    type Input = Batch;
    type Output = ClassificationOutput;
    fn step(&self, batch: Batch) -> TrainOutput<ClassificationOutput> {
        let output = InferenceStep::step(self, batch);
        TrainOutput::new(self, output.loss.backward(), output)
    }
}
