"""How many times does a letter occur in a word?"""


# foretrace: count_letter("strawberry", "r")
def count_letter(word, letter):
    count = 0
    for char in word:
        if char == letter:
            count += 1
    return count
