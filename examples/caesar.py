"""Builds a string letter by letter: each one moved on in the alphabet."""


# foretrace: shift("abz", 1)
def shift(text, by):
    result = ""
    for char in text:
        number = (ord(char) - ord("a") + by) % 26
        result += chr(ord("a") + number)
    return result
