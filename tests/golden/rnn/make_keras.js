#!/usr/bin/env node
// Writes keras.safetensors: a network of Keras's layers as TensorFlow.js has them, its weights under their names
// (keras/state/...), an input and what it makes of it. test_import.c runs it through the engine.
// Needs npm's @tensorflow/tfjs (NODE_PATH); not part of the tests.
const fs = require('fs');
const path = require('path');
const tf = require('@tensorflow/tfjs');

const random = (seed) => tf.initializers.randomUniform({minval: -0.6, maxval: 0.6, seed});
let seed = 1;
const drawn = () => ({kernelInitializer: random(seed++), recurrentInitializer: random(seed++), biasInitializer: random(seed++)});
const plain = () => ({kernelInitializer: random(seed++), biasInitializer: random(seed++)});
const L = tf.layers;
const model = tf.sequential({layers: [
  L.conv2d({name: 'conv', inputShape: [6, 5, 2], filters: 3, kernelSize: [3, 2], activation: 'relu', ...plain()}),
  L.averagePooling2d({name: 'pool', poolSize: [1, 4]}),
  L.reshape({name: 'lines', targetShape: [4, 3]}),
  L.bidirectional({name: 'both', mergeMode: 'concat', layer: L.lstm({name: 'lstm', units: 4, returnSequences: true, recurrentActivation: 'sigmoid',
    unitForgetBias: false, ...drawn()})}),
  L.gru({name: 'gru', units: 5, returnSequences: true, recurrentActivation: 'sigmoid', ...drawn()}),
  L.simpleRNN({name: 'rnn', units: 3, ...drawn()}),
  L.dense({name: 'out', units: 2, activation: 'softmax', ...plain()}),
]});
const input = tf.randomNormal([2, 6, 5, 2], 0, 1, 'float32', 7);
const tensors = {'keras/input': input, 'keras/output': model.predict(input)};
for (const layer of model.layers)
  for (const weight of layer.weights) {
    // <layer>/<weight>; the name of a bidirectional layer's weight says forward or backward
    const name = weight.originalName;
    tensors['keras/state/' + (name.startsWith(layer.name) ? name : layer.name + '/' + name)] = weight.read();
  }
const header = {}, blobs = [];
let offset = 0;
for (const name of Object.keys(tensors).sort()) {
  const data = Buffer.from(new Float32Array(tensors[name].dataSync()).buffer);
  header[name] = {dtype: 'F32', shape: tensors[name].shape, data_offsets: [offset, offset + data.length]};
  offset += data.length;
  blobs.push(data);
}
let text = Buffer.from(JSON.stringify(header));
text = Buffer.concat([text, Buffer.alloc((64 - text.length % 64) % 64, ' ')]);
const length = Buffer.alloc(8);
length.writeBigUInt64LE(BigInt(text.length));
fs.writeFileSync(path.join(__dirname, 'keras.safetensors'), Buffer.concat([length, text, ...blobs]));
console.log(Object.keys(tensors).map((n) => n + ' ' + tensors[n].shape).join('\n'));
