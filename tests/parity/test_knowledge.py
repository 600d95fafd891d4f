"""Knowledge distillation against PyTorch, against values by hand, and against Hinton et al. 2015."""

import numpy as np
import pytest
import tensorflow as tf
import torch
from torch.nn import functional as F

from tests.training.toy import FEATURES, WORDS, batch, captioner, classes, classifier
from tfcap.data.text import PAD
from tfcap.models.batch_norm import moving_statistics
from tfcap.training.knowledge import TaughtCaptioner, knowledge_loss
from tfcap.training.step import SummedAdamW, loss_and_gradients, seeded_state, train_step, values_of

pytestmark = pytest.mark.parity

RNG = np.random.default_rng


def _classes(size):
    return {name: tf.constant(array) for name, array in classes(size).items()}


def _captions(size):
    return {name: tf.constant(array) for name, array in batch(size).items()}


def _torch_loss(teacher, student, temperature):
    teacher, student = (F.log_softmax(logits / temperature, dim=-1) for logits in (teacher, student))
    return F.kl_div(student, teacher, reduction="none", log_target=True).sum(-1) * temperature**2


def _gradient(teacher, student, temperature):
    """Returns dC/dz of the student's logits z."""
    logits = tf.constant(student)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = knowledge_loss(tf.constant(teacher), logits, temperature)
    return tape.gradient(loss, logits).numpy()


def test_it_is_the_value_by_hand():
    """At T = 2 the teacher's odds of 4 are 2: p = (2/3, 1/3), q = (1/2, 1/2)."""
    found = knowledge_loss(tf.constant([[np.log(4.0), 0.0]], tf.float32), tf.zeros([1, 2]), 2.0)
    assert found.numpy().tolist() == pytest.approx([4 * (2 / 3 * np.log(4 / 3) + 1 / 3 * np.log(2 / 3))], abs=1e-6)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_value_and_gradient_are_those_of_pytorch(temperature):
    teacher, student = RNG(0).normal(size=[2, 3, 4, WORDS])
    logits = torch.tensor(student, requires_grad=True)
    expected = _torch_loss(torch.tensor(teacher), logits, temperature)
    expected.sum().backward()
    found = knowledge_loss(tf.constant(teacher), tf.constant(student), temperature)
    assert found.shape == (3, 4)
    np.testing.assert_allclose(found, expected.detach().numpy(), rtol=1e-9)
    np.testing.assert_allclose(_gradient(teacher, student, temperature), logits.grad.numpy(), atol=1e-9)
    single = knowledge_loss(tf.constant(teacher, tf.float32), tf.constant(student, tf.float32), temperature)
    np.testing.assert_allclose(single, found, rtol=1e-4)


def test_at_high_temperatures_the_gradient_is_that_of_matched_logits():
    """(z - v) / V for logits of mean 0 (equation 4, times T^2), with an error of the order of 1 / T."""
    teacher, student = RNG(0).normal(size=[2, 5, WORDS]).astype(np.float32)
    teacher, student = (logits - logits.mean(-1, keepdims=True) for logits in (teacher, student))
    errors = [
        np.abs(_gradient(teacher, student, temperature) - (student - teacher) / WORDS).max()
        for temperature in (10.0, 100.0)
    ]
    assert errors[1] < 0.01 * np.abs(student - teacher).max() / WORDS
    assert errors[0] / errors[1] == pytest.approx(10, rel=0.1)


def test_it_is_nothing_where_both_say_the_same():
    logits = RNG(0).normal(size=[3, WORDS]).astype(np.float32)
    same = np.float32(np.log(np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)))  # the log-probabilities
    np.testing.assert_allclose(knowledge_loss(tf.constant(same), tf.constant(logits), 4.0), 0, atol=1e-5)
    np.testing.assert_allclose(_gradient(same, logits, 4.0), 0, atol=1e-6)
    assert knowledge_loss(tf.constant(-logits), tf.constant(logits), 4.0).numpy().min() > 0.1


def test_no_gradient_goes_to_the_teacher():
    teacher, student = (tf.constant(logits) for logits in RNG(0).normal(size=[2, 3, WORDS]).astype(np.float32))
    with tf.GradientTape() as tape:
        tape.watch([teacher, student])
        loss = knowledge_loss(teacher, student, 4.0)
    found = tape.gradient(loss, [teacher, student])
    assert found[0] is None and np.abs(found[1]).max() > 0.01


def test_a_classifier_s_losses_are_those_of_pytorch_on_its_logits():
    student, teacher, inputs = classifier(), classifier(seed=1), _classes(6)
    losses, mask = TaughtCaptioner(student, teacher, alpha=0.3, temperature=4.0)(inputs, training=True)
    ours, theirs = (
        torch.tensor(model.class_logits(model.encode(inputs["images"])).numpy()) for model in (student, teacher)
    )
    right = torch.tensor(inputs["tokens"].numpy()[:, 0], dtype=torch.long)
    expected = 0.3 * F.cross_entropy(ours, right, reduction="none") + 0.7 * _torch_loss(theirs, ours, 4.0)
    assert mask.numpy().tolist() == [[1.0]] * 6
    np.testing.assert_allclose(losses[:, 0], expected, rtol=1e-5)


def test_a_captioner_s_losses_are_those_of_pytorch_on_its_words():
    student, teacher, inputs = captioner(seed=0), captioner(seed=1), _captions(5)
    losses, mask = TaughtCaptioner(student, teacher, alpha=0.3, temperature=2.0)(inputs, training=True)
    before, words = np.maximum(inputs["tokens"].numpy(), 0)[:, :-1], inputs["tokens"].numpy()[:, 1:]
    ours, theirs = (
        torch.tensor(model.decoder_logits(inputs["features"], before, False).numpy()) for model in (student, teacher)
    )
    entropy = F.cross_entropy(
        ours.transpose(1, 2), torch.tensor(words, dtype=torch.long), reduction="none", ignore_index=PAD
    )
    expected = (0.3 * entropy + 0.7 * _torch_loss(theirs, ours, 2.0)).numpy()
    present = words != PAD
    assert 0 < present.mean() < 1
    np.testing.assert_array_equal(mask, present.astype(np.float32))
    np.testing.assert_allclose(losses.numpy()[present], expected[present], rtol=1e-5)
    assert not losses.numpy()[~present].any()


def test_its_predictions_are_the_student_s_own():
    student, teacher, inputs = captioner(seed=0), captioner(seed=1), _captions(4)
    _, _, log_probs, words = TaughtCaptioner(student, teacher, alpha=0.5, temperature=2.0)(inputs, predictions=True)
    expected = student(inputs, predictions=True)
    np.testing.assert_allclose(log_probs, expected[2], atol=1e-6)
    np.testing.assert_array_equal(words, expected[3])


def test_with_the_captions_alone_loss_and_gradients_are_the_captioner_s_own():
    """Dropout and label smoothing included."""
    model, inputs = captioner(dropout=0.5, label_smoothing=0.1), _captions(5)
    student = TaughtCaptioner(model, captioner(seed=1), alpha=1.0, temperature=4.0)
    expected, found = (
        loss_and_gradients(one, xla=False, training=True)(
            values_of(one.trainable_variables), seeded_state(one, 3, tf.constant(7), 0), inputs
        )
        for one in (model, student)
    )
    assert float(found[0]) == pytest.approx(float(expected[0]), rel=1e-6) and float(found[1]) == float(expected[1])
    assert len(found[2]) == len(expected[2]) == 8
    for ours, theirs in zip(found[2], expected[2], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_only_the_student_s_variables_train_and_in_its_order():
    model, teacher = captioner(encoder_trains=True), captioner(seed=1, encoder_trains=True)
    own = [id(variable) for variable in model.trainable_variables]
    student = TaughtCaptioner(model, teacher, alpha=0.1, temperature=4.0)
    assert [id(variable) for variable in student.trainable_variables] == own
    assert len(own) == 10 and not teacher.trainable_variables


@pytest.mark.parametrize("xla", [False, True])
def test_a_step_goes_against_the_gradient_of_pytorch_and_leaves_the_teacher_as_it_is(xla):
    """The first step of AdamW moves the bias of the logits by the learning rate, against the sign of its gradient."""
    student, teacher = classifier(norm=True), classifier(seed=1, norm=True, dropout=0.5)
    both, inputs = TaughtCaptioner(student, teacher, alpha=0.1, temperature=4.0), _classes(8)
    optimizer = SummedAdamW(0.01, weight_decay=0.0)
    optimizer.build(student.trainable_variables)
    logits = student.class_logits(student.encode(inputs["images"], training=True)).numpy()
    theirs = teacher.class_logits(teacher.encode(inputs["images"])).numpy()
    bias = torch.zeros(WORDS, requires_grad=True)
    right = torch.tensor(inputs["tokens"].numpy()[:, 0], dtype=torch.long)
    ours = torch.tensor(logits) + bias
    loss = 0.1 * F.cross_entropy(ours, right) + 0.9 * _torch_loss(torch.tensor(theirs), ours, 4.0).mean()
    loss.backward()
    before = student.class_logits.bias.numpy()
    moving, frozen = (
        [value.numpy() for value in values_of(some)] for some in (moving_statistics(both), teacher.weights)
    )
    step = train_step(both, optimizer, seed=0, clip_norm=0.0, xla=xla, strategy=tf.distribute.get_strategy())
    found, _ = step(inputs, tf.constant(0))
    assert float(found) == pytest.approx(float(loss.detach()), rel=1e-5)
    np.testing.assert_allclose(student.class_logits.bias - before, -0.01 * np.sign(bias.grad.numpy()), rtol=1e-2)
    assert [id(one) for one in moving_statistics(both)] == [id(one) for one in moving_statistics(student)]
    for value, variable in zip(moving, moving_statistics(student), strict=True):
        assert np.abs(value - variable.numpy()).min() > 1e-4
    for value, variable in zip(frozen, teacher.weights, strict=True):
        np.testing.assert_array_equal(value, variable.numpy(), err_msg=variable.path)


def test_what_the_teacher_says_of_a_picture_does_not_depend_on_the_others():
    """Though the student trains: batch normalisation by its moving statistics, and no dropout."""
    student, teacher, inputs = classifier(), classifier(seed=1, norm=True, dropout=0.5), _classes(5)
    both = TaughtCaptioner(student, teacher, alpha=0.0, temperature=4.0)
    alone = {name: value[:1] for name, value in inputs.items()}
    expected = _torch_loss(
        torch.tensor(teacher.log_probs(teacher.encode(inputs["images"])).numpy()),
        torch.tensor(student.log_probs(student.encode(inputs["images"])).numpy()),
        4.0,
    )
    whole, one = both(inputs, training=True)[0], both(alone, training=True)[0]
    np.testing.assert_allclose(whole[:, 0], expected, rtol=1e-5)
    np.testing.assert_allclose(one, whole[:1], rtol=1e-5)
    teacher.trainable = True
    varied = teacher.log_probs(teacher.encode(inputs["images"], training=True))
    assert np.abs(varied - teacher.log_probs(teacher.encode(inputs["images"]))).max() > 0.1  # what it would be


def test_a_captioner_s_teacher_has_no_dropout():
    student, inputs = captioner(seed=0), _captions(4)
    expected, found = (
        TaughtCaptioner(student, captioner(seed=1, dropout=dropout), alpha=0.0, temperature=4.0)(inputs, training=True)[
            0
        ]
        for dropout in (0.0, 0.5)
    )
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert inputs["features"].shape[1] == FEATURES and np.abs(expected).max() > 0.1
