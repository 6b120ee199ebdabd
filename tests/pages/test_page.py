"""What a page is known by."""

import numpy as np

from freqq.pages.page import Page, hash_of


def test_hashes_tell_the_order_of_pages():
    a, b = Page(np.zeros((2, 2), np.uint8)), Page(np.ones((2, 2), np.uint8))
    assert hash_of([a, b]) != hash_of([b, a])
    assert hash_of([a, b]) == hash_of([a, b])
