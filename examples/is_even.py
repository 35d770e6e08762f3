"""The remainder of a division by two."""


# foretrace: is_even(4)
# foretrace: is_even(7)
def is_even(n):
    remainder = n % 2
    return remainder == 0
