"""The table of names and variables: each used once, both ways, and what is said where a checkpoint does not fit."""

import json

import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

from tfcap.errors import InputError
from tfcap.models import weight_table
from tfcap.models.checkpoints import open_checkpoint
from tfcap.models.weight_table import Row, Transform, check_table, fill, row, tensors_of


def _variable(*shape, name="v"):
    return keras.Variable(np.zeros(shape, np.float32), name=name)


def _checkpoint(folder, tensors):
    (folder / "config.json").write_text(json.dumps({}), encoding="utf-8")
    save_file(tensors, folder / "model.safetensors")
    return open_checkpoint(str(folder), "weights")


def _numbers(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(
    ("transform", "tensor", "shape"),
    [
        (weight_table.AS_IT_IS, (3, 4), (3, 4)),
        (weight_table.TRANSPOSED, (3, 4), (4, 3)),
        (weight_table.CONVOLUTION, (5, 3, 2, 4), (2, 4, 3, 5)),
        (weight_table.into_heads(3), (6, 4), (4, 3, 2)),
        (weight_table.bias_of_heads(3), (6,), (3, 2)),
        (weight_table.out_of_heads(3), (4, 6), (3, 2, 4)),
    ],
)
def test_a_tensor_fills_its_variable_and_comes_back(tmp_path, transform, tensor, shape):
    variable, numbers = _variable(*shape), _numbers(*tensor)
    rows = [row("weight", variable, transform)]
    assert rows[0].shape() == tensor
    fill(rows, _checkpoint(tmp_path, {"weight": numbers}), [variable])
    np.testing.assert_array_equal(tensors_of(rows)["weight"], numbers)


def test_heads_are_those_of_the_linear_layer():
    """The query of head h at x is rows [h D, (h + 1) D) of W times x; the output sums W's columns over the heads."""
    into, out, x = _numbers(6, 4), _numbers(4, 6), _numbers(4)
    (kernel,) = weight_table.into_heads(3).to_variables(into)
    np.testing.assert_allclose(np.einsum("d,dhe->he", x, kernel).reshape(-1), into @ x, rtol=1e-5)
    (kernel,) = weight_table.out_of_heads(3).to_variables(out)
    np.testing.assert_allclose(np.einsum("he,hed->d", (into @ x).reshape(3, 2), kernel), out @ (into @ x), rtol=1e-5)


def test_one_tensor_may_fill_several_variables(tmp_path):
    variables, numbers = [_variable(2, 2, name=name) for name in "qkv"], _numbers(2, 6)
    fused = Transform(lambda w: np.split(w, 3, axis=1), lambda values: np.concatenate(values, axis=1))
    rows = [Row("c_attn.weight", tuple(variables), fused)]
    fill(rows, _checkpoint(tmp_path, {"c_attn.weight": numbers}), variables)
    np.testing.assert_array_equal(variables[1].numpy(), numbers[:, 2:4])
    np.testing.assert_array_equal(tensors_of(rows)["c_attn.weight"], numbers)


def test_a_checkpoint_that_does_not_fit_is_one_line_with_all_that_differs(tmp_path):
    first, second, third = (_variable(2, 3, name=name) for name in "abc")
    rows = [row("a", first), row("b", second), row("c", third, weight_table.TRANSPOSED)]
    tensors = {"a": _numbers(2, 3), "c": _numbers(2, 3), "stranger": _numbers(1), "a.position_ids": _numbers(1)}
    words = r"missing: b; left over: stranger; of another shape: c is \[2, 3\] and not \[3, 2\]. Expected: 3 tensors"
    with pytest.raises(InputError, match=words) as raised:
        fill(rows, _checkpoint(tmp_path, tensors), [first, second, third], r".*position_ids")
    assert "\n" not in str(raised.value) and not first.numpy().any()


def test_many_names_are_cut(tmp_path):
    variable = _variable(2, 3)
    tensors = {"a": _numbers(2, 3), **{f"x{index}": _numbers(1) for index in range(9)}}
    with pytest.raises(InputError, match="left over: x0, x1, x2, x3, x4, x5 and 3 more"):
        fill([row("a", variable)], _checkpoint(tmp_path, tensors), [variable])


def test_a_table_that_leaves_out_or_repeats_is_a_fault():
    first, second = _variable(1, name="a"), _variable(1, name="b")
    for rows in ([row("a", first)], [row("a", first), row("a", second)], [row("a", first), row("b", first)]):
        with pytest.raises(ValueError, match="twice, or leaves variables out"):
            check_table(rows, [first, second])
    check_table([row("a", first), row("b", second)], [first, second])
