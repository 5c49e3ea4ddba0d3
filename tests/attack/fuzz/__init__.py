"""Coverage-guided fuzzing of the code that parses bytes of other programs.

`make fuzz` runs the targets. The folder `corpus` has the first cases of each target, and each case that once found an
error. `tests/unit/test_fuzz_corpus.py` runs all of these cases without a fuzzer.
"""
