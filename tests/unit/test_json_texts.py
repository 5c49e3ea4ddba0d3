"""JSON documents of the database, decoded together or one by one."""

from ledger.database.connection import from_json, from_json_texts


def test_many_documents_are_decoded_as_one_by_one():
    texts = ["null", '{"a": [1, 2.5]}', '"b"', "[]", "true"]
    assert from_json_texts([*texts, None]) == [*map(from_json, texts), None]
    assert from_json_texts([]) == []


def test_an_unreadable_document_hides_no_other():
    decoded = from_json_texts(['{"a": 1}', "9" * 5_000, None, "[" * 100_000])
    assert (decoded[0], decoded[2]) == ({"a": 1}, None)
    assert [list(each) for each in (decoded[1], decoded[3])] == [["unreadable"], ["unreadable"]]
