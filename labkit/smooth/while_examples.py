"""Programs of the WHILE language. Each says in its first line what x0 is at the end, and for which inputs."""

MULTIPLICATION = """\
# x0 = x1 * x2, for whole numbers from 0
WHILE x2 != 0 DO
    x3 := x1
    WHILE x3 != 0 DO
        x0 := x0 + 1
        x3 := x3 - 1
    END
    x2 := x2 - 1
END
"""

ADDITION = """\
# x0 = x1 + x2, for whole x1 and whole x2 from 0
x0 := x1
WHILE x2 != 0 DO
    x0 := x0 + 1
    x2 := x2 - 1
END
"""

SUBTRACTION = """\
# x0 = max(x1 - x2, 0), for whole numbers from 0
WHILE x2 != 0 DO
    x3 := x1
    WHILE x3 != 0 DO    # if x1 != 0: x1 := x1 - 1
        x1 := x1 - 1
        x3 := x4        # x4 is never set: this ends the loop
    END
    x2 := x2 - 1
END
x0 := x1
"""

FACTORIAL = """\
# x0 = x1!, for whole numbers from 0
x0 := x0 + 1
WHILE x1 != 0 DO        # x0 := x0 * x1
    x2 := x0
    x0 := x5            # x5 is never set: x0 := 0
    x3 := x1
    WHILE x3 != 0 DO
        x4 := x2
        WHILE x4 != 0 DO
            x0 := x0 + 1
            x4 := x4 - 1
        END
        x3 := x3 - 1
    END
    x1 := x1 - 1
END
"""

GCD = """\
# x0 = greatest common divisor of x1 and x2, for whole numbers from 0, where gcd(x, 0) = x
WHILE x2 != 0 DO        # x1, x2 := x2, x1 mod x2
    x3 := x6            # the rest so far
    x4 := x2            # what the rest lacks to x2
    WHILE x1 != 0 DO
        x1 := x1 - 1
        x3 := x3 + 1
        x4 := x4 - 1
        x5 := x5 + 1
        x7 := x4
        WHILE x7 != 0 DO    # if x4 != 0: x5 := 0
            x5 := x6
            x7 := x6
        END
        WHILE x5 != 0 DO    # if x4 = 0: start again with rest 0
            x3 := x6
            x4 := x2
            x5 := x6
        END
    END
    x1 := x2
    x2 := x3
END
x0 := x1
"""

POWER = """\
# x0 = x1 to the power of x2, for whole numbers from 0, where 0 to the power of 0 is 1
x0 := x0 + 1
WHILE x2 != 0 DO        # x0 := x0 * x1
    x3 := x0
    x0 := x6            # x6 is never set: x0 := 0
    x4 := x1
    WHILE x4 != 0 DO
        x5 := x3
        WHILE x5 != 0 DO
            x0 := x0 + 1
            x5 := x5 - 1
        END
        x4 := x4 - 1
    END
    x2 := x2 - 1
END
"""

EXAMPLES = {
    "multiplication": MULTIPLICATION,
    "addition": ADDITION,
    "subtraction": SUBTRACTION,
    "factorial": FACTORIAL,
    "greatest common divisor": GCD,
    "power": POWER,
}
