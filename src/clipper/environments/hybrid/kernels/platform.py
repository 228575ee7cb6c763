"""Platform's small steps; the equations are in ``clipper.environments.hybrid.platform``."""

from clipper.environments.hybrid.kernels.compiled import compiled

RUN, HOP, LEAP = range(3)
LIMITS = (30.0, 720.0, 430.0)
HEIGHT = 40.0  # of the platforms' tops
LEFT = (0.0, 475.0, 985.0)
WIDTH = (250.0, 275.0, 50.0)
END = 1035.0
SIZE_X, SIZE_Y = 20.0, 30.0  # of player and enemies
DT = 0.05
GRAVITY = 9.8
NOISE = 0.5 * DT
MAX_VX, MAX_VY, MAX_VX_ON = 100.0, 200.0, 70.0
MAX_AX, MAX_AY = (MAX_VX - MAX_VX_ON) / DT, MAX_VY / DT
DECAY = 0.99
ENEMY_SPEED = 30.0

X, Y, VX, VY, ENEMY, STEPS, SUCCESS = 0, 1, 2, 3, 4, 8, 9  # rows of the state; both enemies' x and dx from ENEMY on


@compiled
def decide(state, choice, argument, generator, over, reward, terminated):
    """One decision of every copy that is not over; ``reward`` and ``terminated`` ``[N]`` are written to."""
    for i in range(len(choice)):
        if over[i]:
            continue
        player = state[:, i].copy()
        act, start = choice[i], player[X]
        power = min(max(argument[i], 0.0), LIMITS[act])
        left, running = 1.0, True
        while running:
            small_step(player, act, power, generator)
            terminated[i] = player[Y] < HEIGHT or player[X] >= END
            for enemy in (ENEMY, ENEMY + 2):
                if overlap(player, player[enemy], SIZE_X, HEIGHT, SIZE_Y):
                    terminated[i] = True
            if act == RUN:
                left -= DT
                running = left > 0
            else:
                running = not on_platform(player[X], player[Y])
            running = running and not terminated[i]
        reward[i] = (player[X] - start) / END
        player[STEPS] += 1
        player[SUCCESS] = player[X] >= END
        state[:, i] = player


@compiled
def small_step(player, act, power, generator):
    """Δt of one copy: the player acts or falls, both move, and no platform is entered. ``player`` is its state."""
    if on_platform(player[X], player[Y]):
        if act == RUN:
            accelerate(player, power / DT, 0.0, generator)
        else:
            up = 35.0 if act == HOP else 25.0
            across = power / (2.0 * up / GRAVITY + 1.0) - player[VX]
            across = min(max(across, -MAX_AX), MAX_VY - up)
            across -= abs(generator.normal(0.0, 1.0))
            up -= abs(generator.normal(0.0, 1.0))
            accelerate(player, across / DT, up / DT, generator)
        player[VX] = min(max(player[VX], 0.0), MAX_VX_ON)
    else:
        accelerate(player, 0.0, -GRAVITY, generator)
    second = player[X] > LEFT[1]
    player[X] = min(max(player[X] + player[VX] * DT, 0.0), END)
    player[Y] += player[VY] * DT
    player[VX] *= DECAY
    patrol(player, 1 if second else 0, generator)
    for platform in range(3 if player[Y] < HEIGHT else 0):
        if overlap(player, LEFT[platform], WIDTH[platform], 0.0, HEIGHT):
            push_out(player, LEFT[platform], WIDTH[platform])
            player[VX] = 0.0


@compiled
def accelerate(player, ax, ay, generator):
    """V ← v + a·Δt, slowed by |𝒩(0, 0.025)| and bounded."""
    player[VX] += min(max(ax, -MAX_AX), MAX_AX) * DT
    player[VY] += min(max(ay, -MAX_AY), MAX_AY) * DT
    player[VX] -= abs(generator.normal(0.0, NOISE))
    player[VX] = max(min(player[VX], MAX_VX), 0.0)
    player[VY] = min(max(player[VY], -MAX_VY), MAX_VY)


@compiled
def patrol(player, platform, generator):
    """The enemy of a platform walks on, turning at its ends."""
    at = ENEMY + 2 * platform
    left, right = LEFT[platform], LEFT[platform] + WIDTH[platform] - SIZE_X
    if not left < player[at] < right:
        player[at + 1] *= -1
    dx = player[at + 1] + generator.normal(0.0, NOISE)
    player[at + 1] = min(max(dx, -ENEMY_SPEED), ENEMY_SPEED)
    player[at] = min(max(player[at] + player[at + 1] * DT, left), right)


@compiled
def on_platform(x, y):
    """Does the player stand on one? Landing puts y on the very number."""
    if y != HEIGHT:
        return False
    above = False
    for platform in range(3):
        above = above or -SIZE_X <= x - LEFT[platform] <= WIDTH[platform]
    return above


@compiled
def overlap(player, left, width, bottom, height):
    """Does the player overlap that rectangle?"""
    inside = left - SIZE_X < player[X] < left + width
    return inside and bottom - SIZE_Y < player[Y] < bottom + height


@compiled
def push_out(player, left, width):
    """Out of a platform that the player has entered, by the shorter way: up, down or aside."""
    x, y = player[X], player[Y]
    if x < left:
        x = left - SIZE_X
    elif x > left + width - SIZE_X:
        x = left + width
    if y < 0:
        y = -SIZE_Y
    elif y > HEIGHT - SIZE_Y:
        y = HEIGHT
    aside = x != player[X] and (y == player[Y] or abs(player[X] - x) < abs(player[Y] - y))
    if aside:
        player[X] = x
    else:
        player[VY], player[Y] = 0.0, y
