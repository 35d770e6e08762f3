"""A class: an account that must not be overdrawn."""


class Account:
    balance = 0

    def __init__(self, balance):
        self.balance = balance

    def __repr__(self):
        return f"Account({self.balance})"

    # foretrace: Account(10).withdraw(3)
    # foretrace: Account(2).withdraw(3)
    def withdraw(self, amount):
        if amount > self.balance:
            raise ValueError("not enough money")
        self.balance -= amount
        return self.balance
