"""The server of the Bento imports all layouts."""


def test_layouts_are_served(client):
    assert client.paths() == [
        "text/nested/inner.py",
        "shop/src/shop/prices.pydata of shop/src/shop/prices.txt",
        "shop/src/shop/tax/rates.py",
        "text/sibling.py",
        "plain/simple.py",
        "spelled\n",
        "text/words.py",
        "text/words.py",
        "one/company/one.py",
        "two/company/two.py",
        "upper.py",
        "iris",
    ]
