import torch
from genever_plugins.distance.huber import Huber
from genever_plugins.distance.l2 import L2


def test_l2_is_the_mean_square_over_dimensions() -> None:
    distances = L2()(torch.tensor([[[1.0, 3.0]], [[0.0, 2.0]]]), torch.zeros(2, 1, 2))
    assert distances.tolist() == [5.0, 2.0]


def test_huber_is_the_published_formula_of_the_mean() -> None:
    error = torch.tensor([[3.0, 4.0]], dtype=torch.float64)
    torch.testing.assert_close(Huber(c=2.0)(error, 0 * error), torch.tensor([(12.5 + 4) ** 0.5 - 2], dtype=torch.float64))


def test_huber_is_quadratic_near_zero_and_linear_far_away() -> None:
    near, far = torch.full((1, 4), 1e-4), torch.full((1, 4), 1e4)
    torch.testing.assert_close(Huber(c=0.5)(near, 0 * near), torch.tensor([1e-8]), rtol=1e-4, atol=0)
    torch.testing.assert_close(Huber(c=0.5)(far, 0 * far), torch.tensor([1e4 - 0.5]), rtol=1e-6, atol=0)


def test_huber_does_not_depend_on_the_number_of_dimensions() -> None:
    small, large = torch.full((1, 3), 0.2), torch.full((1, 3, 64, 64), 0.2)
    torch.testing.assert_close(Huber(c=0.1)(small, 0 * small), Huber(c=0.1)(large, 0 * large))


def test_huber_has_a_gradient_where_nothing_is_wrong() -> None:
    prediction = torch.zeros(2, 3, requires_grad=True)
    Huber()(prediction, torch.zeros(2, 3)).sum().backward()
    assert prediction.grad is not None
    assert prediction.grad.tolist() == [[0.0] * 3] * 2
