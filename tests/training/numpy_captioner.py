"""The LSTM captioner, AdamW and clipping written out in NumPy with float64, and gradients by central differences."""

import numpy as np

from tfcap.data.text import PAD


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def token_losses(parameters, features, tokens):
    """Returns the cross-entropy of each token after the first and their mask, [B, T - 1].

    `parameters` by name: projection, embedding, lstm kernel, recurrent_kernel and bias, vocabulary_logits.
    """
    p = parameters
    h, c = np.split(features @ p["projection/kernel"] + p["projection/bias"], 2, axis=-1)
    h = np.tanh(h)
    losses = np.zeros([len(tokens), tokens.shape[1] - 1])
    for t in range(tokens.shape[1] - 1):
        x = p["embedding/embeddings"][tokens[:, t]]
        z = x @ p["lstm/kernel"] + h @ p["lstm/recurrent_kernel"] + p["lstm/bias"]
        i, f, g, o = np.split(z, 4, axis=-1)
        c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
        h = _sigmoid(o) * np.tanh(c)
        logits = h @ p["vocabulary_logits/kernel"] + p["vocabulary_logits/bias"]
        log_sum = np.log(np.exp(logits).sum(-1))
        losses[:, t] = log_sum - logits[np.arange(len(tokens)), tokens[:, t + 1]]
    mask = (tokens[:, 1:] != PAD).astype(np.float64)
    return losses * mask, mask


def mean_loss(parameters, inputs):
    """Returns the mean loss over the tokens of a training batch, padding rows left out."""
    losses, mask = token_losses(parameters, inputs["features"].astype(np.float64), inputs["tokens"])
    weights = inputs["weights"][:, None]
    return (losses * weights).sum() / (mask * weights).sum()


def gradient(function, parameters, step=1e-5):
    """Returns the gradient of `function(parameters)` by central differences, by name."""
    found = {}
    for name, array in parameters.items():
        found[name] = np.zeros_like(array)
        for place in np.ndindex(array.shape):
            kept = array[place]
            array[place] = kept + step
            above = function(parameters)
            array[place] = kept - step
            found[name][place] = (above - function(parameters)) / (2 * step)
            array[place] = kept
    return found


def norm(arrays):
    """Returns the L2 norm of all arrays of a dict together."""
    return np.sqrt(sum((array**2).sum() for array in arrays.values()))


class AdamW:
    """Loshchilov and Hutter (2019), algorithm 2, with a constant rate and no decay of biases; updates in place.

    The moments' bias is corrected in the rate, so that epsilon stands beside the uncorrected root (Kingma and Ba 2015,
    end of section 2), as in Keras.
    """

    def __init__(self, rate, decay, beta1=0.9, beta2=0.999, epsilon=1e-7):
        self.rate, self.decay, self.beta1, self.beta2, self.epsilon = rate, decay, beta1, beta2, epsilon
        self.t, self.m, self.v = 0, {}, {}

    def update(self, parameters, gradients):
        self.t += 1
        for name, g in gradients.items():
            self.m[name] = self.beta1 * self.m.get(name, 0) + (1 - self.beta1) * g
            self.v[name] = self.beta2 * self.v.get(name, 0) + (1 - self.beta2) * g**2
            rate = self.rate * np.sqrt(1 - self.beta2**self.t) / (1 - self.beta1**self.t)
            decay = 0.0 if name.endswith("bias") else self.decay
            parameters[name] -= self.rate * decay * parameters[name]
            parameters[name] -= rate * self.m[name] / (np.sqrt(self.v[name]) + self.epsilon)


def parameters_of(model):
    """Returns the trainable parameters of a toy captioner with a frozen encoder, by their last two names, float64."""
    return {"/".join(v.path.split("/")[-2:]): v.numpy().astype(np.float64) for v in model.trainable_variables}
