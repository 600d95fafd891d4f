import numpy as np
import pytest
import tensorflow as tf

from tests.training import numpy_captioner as by_hand
from tests.training.toy import batch, captioner
from tfcap.data.text import PAD
from tfcap.training.step import SummedAdamW, loss_and_gradients, seeded_state, train_step, values_of


def _optimizer(model, rate=0.1, decay=0.05):
    optimizer = SummedAdamW(rate, weight_decay=decay)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    optimizer.build(model.trainable_variables)
    return optimizer


def _step(model, optimizer, clip_norm=0.0, xla=False):
    return train_step(model, optimizer, seed=0, clip_norm=clip_norm, xla=xla, strategy=tf.distribute.get_strategy())


def _tensors(inputs):
    return {name: tf.constant(array) for name, array in inputs.items()}


@pytest.mark.parametrize("clip_norm", [0.0, 0.05])
def test_three_steps_are_those_computed_by_hand(clip_norm):
    model = captioner()
    parameters = by_hand.parameters_of(model)
    assert sum(array.size for array in parameters.values()) == 91 and len(parameters) == 8
    step, optimizer = _step(model, _optimizer(model), clip_norm), by_hand.AdamW(0.1, 0.05)
    for number in range(3):
        inputs = batch(5, seed=number)
        inputs["weights"][-1] = 0.0  # a row of padding
        loss, norm = step(_tensors(inputs), tf.constant(number))
        expected_loss = by_hand.mean_loss(parameters, inputs)
        gradients = by_hand.gradient(lambda p, inputs=inputs: by_hand.mean_loss(p, inputs), parameters)
        expected_norm = by_hand.norm(gradients)
        assert float(loss) == pytest.approx(expected_loss, rel=1e-5)
        assert float(norm) == pytest.approx(expected_norm, rel=1e-4)  # of the gradient before it is clipped
        if clip_norm:
            assert expected_norm > clip_norm
            gradients = {name: array * clip_norm / expected_norm for name, array in gradients.items()}
        optimizer.update(parameters, gradients)
    for name, array in by_hand.parameters_of(model).items():
        np.testing.assert_allclose(array, parameters[name], atol=1e-5, err_msg=name)


def test_the_sum_over_a_batch_is_the_sum_over_its_rows():
    model, inputs = captioner(), batch(4)
    compute = loss_and_gradients(model, xla=False, training=True)
    parameters, state = values_of(model.trainable_variables), values_of(model.non_trainable_variables)
    whole = compute(parameters, state, _tensors(inputs))
    rows = [
        compute(parameters, state, _tensors({name: array[i : i + 1] for name, array in inputs.items()}))
        for i in range(4)
    ]
    assert float(whole[1]) == float((inputs["tokens"][:, 1:] != PAD).sum())
    for place in (0, 1):
        assert float(whole[place]) == pytest.approx(sum(float(row[place]) for row in rows), rel=1e-6)
    for index, gradient in enumerate(whole[2]):
        np.testing.assert_allclose(gradient, sum(row[2][index].numpy() for row in rows), rtol=1e-4, atol=1e-6)


def test_padding_tokens_and_padding_rows_change_nothing():
    inputs = batch(3)
    longer = {name: np.concatenate([array, array[:1]]) for name, array in inputs.items()}
    longer["weights"][-1] = 0.0
    longer["tokens"] = np.pad(longer["tokens"], [(0, 0), (0, 2)], constant_values=PAD)
    found = []
    for seen in (inputs, longer):
        model = captioner()
        found.append([*map(float, _step(model, _optimizer(model))(_tensors(seen), tf.constant(0)))])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6)


def test_equal_shapes_are_traced_once_and_the_compiled_function_is_reused(monkeypatch):
    model, calls = captioner(dropout=0.5), []
    original = model.decoder_logits

    def counted(*arguments, **named):
        calls.append(1)
        return original(*arguments, **named)

    monkeypatch.setattr(model, "decoder_logits", counted)
    step = _step(model, _optimizer(model), xla=True)
    for number in range(3):
        step(_tensors(batch(2, seed=number)), tf.constant(number))
    assert step.experimental_get_tracing_count() == 1 and len(calls) == 1
    step(_tensors(batch(4)), tf.constant(3))
    assert step.experimental_get_tracing_count() == 2 and len(calls) == 2


def test_dropout_is_set_by_seed_step_and_row_and_by_nothing_else():
    model, inputs = captioner(dropout=0.5), _tensors(batch(4))
    compute = loss_and_gradients(model, xla=False, training=True)

    def loss(seed, step, first_row=0, rows=slice(None)):
        state = seeded_state(model, seed, tf.constant(step), first_row)
        seen = {name: value[rows] for name, value in inputs.items()}
        return float(compute(values_of(model.trainable_variables), state, seen)[0])

    assert loss(0, 0) == loss(0, 0)
    assert len({loss(0, 0), loss(0, 1), loss(1, 0), loss(0, 0, first_row=4)}) == 4
    halves = loss(0, 0, 0, slice(2)) + loss(0, 0, 2, slice(2, 4))
    assert halves == pytest.approx(loss(0, 0), rel=1e-5)


def test_two_replicas_take_the_step_of_one(two_replicas):
    one, two = two_replicas["steps"]["1"], two_replicas["steps"]["2"]
    assert two_replicas["tokens_by_half"][0] != two_replicas["tokens_by_half"][1]
    np.testing.assert_allclose(two["loss"], one["loss"], rtol=1e-5)
    np.testing.assert_allclose(two["norm"], one["norm"], rtol=1e-5)
    np.testing.assert_allclose(two["parameters"], one["parameters"], atol=1e-5)


def test_two_replicas_learn_from_a_teacher_as_one(two_replicas):
    one, two = two_replicas["taught"]["1"], two_replicas["taught"]["2"]
    np.testing.assert_allclose(two, one, atol=1e-5)
    assert len(one) == 91 and not np.allclose(one, two_replicas["steps"]["1"]["parameters"], atol=1e-2)


def test_the_norm_that_is_clipped_is_that_of_the_sum_over_replicas(two_replicas):
    """A first moment after one step is a tenth of the clipped gradient."""
    for found in two_replicas["steps"].values():
        assert found["norm"][0] > two_replicas["clip_norm"]
        assert 10 * found["first_moment_norm"] == pytest.approx(two_replicas["clip_norm"], rel=1e-5)
