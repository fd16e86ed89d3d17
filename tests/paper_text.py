"""What the paper prints, typed from its text once more, without a look at the package: tests compare the two.

Mänttäri, Broomé, Folkesson, Kjellström: Interpreting video features, ACCV 2020. Class names are as the paper prints
them, but for its typographic quotes. Ids of clips (Fig. 2) are those of its web site.
"""

# Table 1, F1: model -> KTH top-1, Something-something top-1, top-5
TABLE_1 = {
    'C-LSTM': (0.84, 0.23, 0.48),
    'C-LSTM (reversed)': (0.78, 0.05, 0.17),
    'I3D': (0.86, 0.43, 0.73),
    'I3D (reversed)': (0.80, 0.09, 0.27),
}
LOST_TOP_1 = {'C-LSTM': 0.78, 'I3D': 0.79}  # section 5: what reversal takes of top-1 on Something-something

# 5.1 and A.2: class -> F1 of I3D, of C-LSTM
F1_SECTION_5_1 = {
    'moving something and something away from each other': (0.76, 0.58),
    'moving something and something closer to each other': (0.77, 0.57),
    'moving something and something so they pass each other': (0.37, 0.31),
    'moving something up': (0.43, 0.4),
    'pretending to take something from somewhere': (0.1, 0.07),
    'moving the camera down while filming something': (0.67, 0.56),
    'moving the camera up while filming something': (0.81, 0.73),
}
F1_APPENDIX_A_2 = {
    'moving something and something so they collide with each other': (0.16, 0.03),
    'burying something in something': (0.1, 0.06),
    'turning the camera left while filming something': (0.94, 0.79),
    'turning the camera right while filming something': (0.91, 0.8),
}
# 5.1 names two classes otherwise than the list of appendix B and Fig. 2 g, h do
OTHER_NAMES = {
    'moving the camera down while filming something': 'Turning the camera downwards while filming something',
    'moving the camera up while filming something': 'Turning the camera upwards while filming something',
}

# Table 2: column -> I3D (mean, sd), C-LSTM (mean, sd)
TABLE_2 = {
    'Mask length': ((6.1, 3.3), (9.6, 4.2)),
    'Drop ratio': ((3.7, 9.7), (2.1, 3.9)),
    'Drop diff.': ((0.2, 0.3), (0.08, 0.2)),
    'Blob count': ((1.5, 0.35), (3.6, 0.6)),
    'Blob size': ((33.9, 19.7), (25.9, 23.4)),
    'Center distance': ((54.8, 32.9), (96.8, 34.7)),
}
CLIPS_OF_TABLE_2, CLIPS_PER_CLASS = 791, 150
LEAST_DROP = 0.01  # footnote 1
UNFILTERED_RATIO = {'I3D': (323, 8640), 'C-LSTM': (22.0, 588)}  # footnote 1

# Table 3: model, dataset -> weight decay, optimizer, dropout rate, epochs, momentum
TABLE_3 = {
    ('I3D', 'Smth-smth'): (0, 'ADAM', 0.5, 13, None),
    ('I3D', 'KTH'): (5e-5, 'ADAM', 0.7, 30, None),
    ('C-LSTM', 'Smth-smth'): (0, 'SGD', 0.0, 105, 0.2),
    ('C-LSTM', 'KTH'): (1e-4, 'SGD', 0.5, 21, 0.2),
}
# Table 4: dataset -> lambda 1, lambda 2, beta, optimizer, iterations, learning rate
TABLE_4 = {'Smth-smth': (0.01, 0.02, 3, 'ADAM', 300, 0.001), 'KTH': (0.02, 0.04, 3, 'ADAM', 300, 0.001)}

# Fig. 2: letter -> its class (caption), id of the clip (web site)
FIGURE_2 = {
    'a': (36, 43627),
    'b': (37, 180193),
    'c': (39, 28170),
    'd': (45, 125857),
    'e': (45, 81536),
    'f': (81, 46708),
    'g': (165, 197549),
    'h': (168, 215115),
}
FIGURE_3 = {'a': ('Handclapping', 18), 'b': ('Running', 25)}  # caption: class, subject

# 3.1: an example of the reverse mask, and the frames it leaves
REVERSE_MASK = [0, 0, 0, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 1, 1, 0]
REVERSE_FRAMES = [1, 2, 3, 8, 7, 6, 5, 4, 9, 10, 11, 12, 13, 15, 14, 16]
REVERSE_THRESHOLD = 0.1

# 4.1 and 4.2
FRAMES = {'Something-something': 16, 'KTH': 32}
SIZES = {'Something-something': (224, 224), 'KTH': (120, 160)}  # height, width
KTH_TRAIN, KTH_TEST, KTH_SEQUENCES = range(1, 17), range(17, 26), 2391
PARAMETERS = {'I3D': 12_465_614, 'C-LSTM': 1_324_014}

# appendices C and B
KTH_NAMES = 'Boxing', 'Handclapping', 'Handwaving', 'Jogging', 'Running', 'Walking'
SSV2_NAMES = """
Approaching something with your camera
Attaching something to something
Bending something so that it deforms
Bending something until it breaks
Burying something in something
Closing something
Covering something with something
Digging something out of something
Dropping something behind something
Dropping something in front of something
Dropping something into something
Dropping something next to something
Dropping something onto something
Failing to put something into something because something does not fit
Folding something
Hitting something with something
Holding something
Holding something behind something
Holding something in front of something
Holding something next to something
Holding something over something
Laying something on the table on its side, not upright
Letting something roll along a flat surface
Letting something roll down a slanted surface
Letting something roll up a slanted surface, so it rolls back down
Lifting a surface with something on it but not enough for it to slide down
Lifting a surface with something on it until it starts sliding down
Lifting something up completely without letting it drop down
Lifting something up completely, then letting it drop down
Lifting something with something on it
Lifting up one end of something without letting it drop down
Lifting up one end of something, then letting it drop down
Moving away from something with your camera
Moving part of something
Moving something across a surface until it falls down
Moving something across a surface without it falling down
Moving something and something away from each other
Moving something and something closer to each other
Moving something and something so they collide with each other
Moving something and something so they pass each other
Moving something away from something
Moving something away from the camera
Moving something closer to something
Moving something down
Moving something towards the camera
Moving something up
Opening something
Picking something up
Piling something up
Plugging something into something
Plugging something into something but pulling it right out as you remove your hand
Poking a hole into some substance
Poking a hole into something soft
Poking a stack of something so the stack collapses
Poking a stack of something without the stack collapsing
Poking something so it slightly moves
Poking something so lightly that it doesn't or almost doesn't move
Poking something so that it falls over
Poking something so that it spins around
Pouring something into something
Pouring something into something until it overflows
Pouring something onto something
Pouring something out of something
Pretending or failing to wipe something off of something
Pretending or trying and failing to twist something
Pretending to be tearing something that is not tearable
Pretending to close something without actually closing it
Pretending to open something without actually opening it
Pretending to pick something up
Pretending to poke something
Pretending to pour something out of something, but something is empty
Pretending to put something behind something
Pretending to put something into something
Pretending to put something next to something
Pretending to put something on a surface
Pretending to put something onto something
Pretending to put something underneath something
Pretending to scoop something up with something
Pretending to spread air onto something
Pretending to sprinkle air onto something
Pretending to squeeze something
Pretending to take something from somewhere
Pretending to take something out of something
Pretending to throw something
Pretending to turn something upside down
Pulling something from behind of something
Pulling something from left to right
Pulling something from right to left
Pulling something onto something
Pulling something out of something
Pulling two ends of something but nothing happens
Pulling two ends of something so that it gets stretched
Pulling two ends of something so that it separates into two pieces
Pushing something from left to right
Pushing something from right to left
Pushing something off of something
Pushing something onto something
Pushing something so it spins
Pushing something so that it almost falls off but doesn't
Pushing something so that it falls off the table
Pushing something so that it slightly moves
Pushing something with something
Putting number of something onto something
Putting something and something on the table
Putting something behind something
Putting something in front of something
Putting something into something
Putting something next to something
Putting something on a flat surface without letting it roll
Putting something on a surface
Putting something on the edge of something so it is not supported and falls down
Putting something onto a slanted surface but it doesn't glide down
Putting something onto something
Putting something onto something else that cannot support it so it falls down
Putting something similar to other things that are already on the table
Putting something that can't roll onto a slanted surface, so it slides down
Putting something that can't roll onto a slanted surface, so it stays where it is
Putting something that cannot actually stand upright upright on the table, so it falls on its side
Putting something underneath something
Putting something upright on the table
Putting something, something and something on the table
Removing something, revealing something behind
Rolling something on a flat surface
Scooping something up with something
Showing a photo of something to the camera
Showing something behind something
Showing something next to something
Showing something on top of something
Showing something to the camera
Showing that something is empty
Showing that something is inside something
Something being deflected from something
Something colliding with something and both are being deflected
Something colliding with something and both come to a halt
Something falling like a feather or paper
Something falling like a rock
Spilling something behind something
Spilling something next to something
Spilling something onto something
Spinning something so it continues spinning
Spinning something that quickly stops spinning
Spreading something onto something
Sprinkling something onto something
Squeezing something
Stacking number of something
Stuffing something into something
Taking one of many similar things on the table
Taking something from somewhere
Taking something out of something
Tearing something into two pieces
Tearing something just a little bit
Throwing something
Throwing something against something
Throwing something in the air and catching it
Throwing something in the air and letting it fall
Throwing something onto a surface
Tilting something with something on it slightly so it doesn't fall down
Tilting something with something on it until it falls off
Tipping something over
Tipping something with something in it over, so something in it falls out
Touching (without moving) part of something
Trying but failing to attach something to something because it doesn't stick
Trying to bend something unbendable so nothing happens
Trying to pour something into something, but missing so it spills next to it
Turning something upside down
Turning the camera downwards while filming something
Turning the camera left while filming something
Turning the camera right while filming something
Turning the camera upwards while filming something
Twisting (wringing) something wet until water comes out
Twisting something
Uncovering something
Unfolding something
Wiping something off of something
""".strip().splitlines()
