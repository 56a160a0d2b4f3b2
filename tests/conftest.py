"""For all tests; being here, it also lets them import the helpers of this folder (`squares`, `command`)."""

import squares

squares.register()
