"""For all tests; being here, it also lets them import the helpers of this folder (`squares`, `command`)."""

import signal

import squares

squares.register()

# A shell that starts the tests in the background lets them ignore Ctrl-C, and all that they start as well.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
