"""The database decides about early stopping as the Python functions do."""

from hypothesis import given
from hypothesis import strategies as st

from ledger.study.early_stopping import cutoff, is_audited


@given(
    st.sampled_from(["halving", "median"]),
    st.integers(2, 16),
    st.lists(st.one_of(st.none(), st.sampled_from([-0.0, 0.0, 0.25, 1e308]), st.floats(-1e308, 1e308)), max_size=40),
)
def test_the_cutoff_of_a_rung_is_that_of_python(connection, rule, eta, losses):
    (found,) = connection.execute("select ledger.rung_cutoff(%s, %s, %s::float8[])", (rule, eta, losses)).fetchone()
    assert found == cutoff(rule, eta, losses)


@given(st.integers(0, 2**31 - 1), st.integers(0, 10**6), st.floats(0, 1))
def test_the_share_of_the_audit_is_that_of_python(connection, seed, trial, share):
    (found,) = connection.execute("select ledger.is_audited(%s, %s, %s)", (seed, trial, share)).fetchone()
    assert found == is_audited(seed, trial, share)
