"""What is left of a predicted length, whatever the prediction and however much is there already."""

from hypothesis import given
from hypothesis import strategies as st

from sagesched_predictor import LengthDistribution
from sagesched_replay.inside.remaining import remaining


@given(
    st.lists(st.floats(1.0, 2048.0), min_size=1, max_size=20, unique=True),
    st.integers(0, 3000),
    st.integers(1, 4096),
)
def test_at_least_one_token_is_left_of_any_prediction(lengths: list[float], generated: int, cap: int) -> None:
    left = remaining(LengthDistribution.from_samples(lengths), generated, cap)
    assert left.tokens[0] >= 1.0
    assert abs(left.weights.sum() - 1.0) < 1e-9


def test_by_hand() -> None:
    known = LengthDistribution.from_samples([100, 200, 400, 400])
    left = remaining(known, 150, 2048)
    assert left.tokens.tolist() == [50.0, 250.0]
    assert [round(weight, 6) for weight in left.weights] == [0.333333, 0.666667]
    assert remaining(known, 500, 2048) == LengthDistribution.point(500)
    assert remaining(known, 2000, 2048) == LengthDistribution.point(48)
