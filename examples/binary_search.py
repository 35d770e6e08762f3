"""A binary search that never looks at the last item: the classic off-by-one."""


# foretrace: find([2, 5, 7, 9], 5)
# foretrace: find([2, 5, 7, 9], 9)
def find(items, wanted):
    low = 0
    high = len(items) - 1
    while low < high:  # should be <=
        middle = (low + high) // 2
        if items[middle] == wanted:
            return middle
        if items[middle] < wanted:
            low = middle + 1
        else:
            high = middle - 1
    return -1
