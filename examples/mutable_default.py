"""A default list that is made once and shared by all calls."""


def add(item, basket=[]):
    basket.append(item)
    return basket


# foretrace: shop()
def shop():
    first = add("tea")
    second = add("milk")
    return first is second
