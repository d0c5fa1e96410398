"""`python -m l3mail`: the same as the command `l3mail`."""

from l3mail.cli import main

if __name__ == "__main__":
    main()
