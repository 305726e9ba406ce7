"""What people type wrong, and what they are told: one line that says what, why and what to do instead."""

from __future__ import annotations

import shlex

TOLD = r"""
$ nosuch
No such command 'nosuch'. Try convgrad --help
$ inspct
No such command 'inspct'. Did you mean 'inspect'? Try convgrad --help
$ --sizes
No such option: --sizes; options stand after the command: convgrad inspect --size 3. Try convgrad --help
$ -f json inspect
No such option: -f; options stand after the command: convgrad inspect --size 3. Try convgrad --help
$ inspect 3
Got unexpected extra argument(s) (3); each value belongs to an option and has no blanks in it: --size 3x3. Try
convgrad inspect --help
$ inspect --size 3 x 3
Got unexpected extra argument(s) (x 3); each value belongs to an option and has no blanks in it: --size 3x3. Try
convgrad inspect --help
$ inspect --sise 3
No such option: --sise (Possible options: --seed, --size, --stride). Try convgrad inspect --help
$ inspect --size
Option '--size' requires an argument. Try convgrad inspect --help
$ inspect --bias=1
Option '--bias' does not take a value. Try convgrad inspect --help
$ doctor layer
Got unexpected extra argument(s) (layer). Try convgrad doctor --help
$ explain --speed 2
--speed is that of --play; add --play, or drop --speed
$ explain --play --speed 0
--speed must be from 0.1 to 20 placements a second, not 0
$ explain --play --speed nan
--speed must be from 0.1 to 20 placements a second, not nan
$ explain --play --speed fast
Invalid value for '--speed': 'fast' is not a number. Try convgrad explain --help
$ explain --play --at weight:0,0,0,0
--play shows the whole layer on a full screen; drop --at, or --play
$ explain --play -f json
--play shows the whole layer on a full screen; drop --format, or --play
$ explain --play
explain --play needs a terminal, and standard input is none; use convgrad explain there
$ inspect --groups two
Invalid value for '--groups': 'two' is not a whole number. Try convgrad inspect --help
$ inspect --seed 1.5
Invalid value for '--seed': '1.5' is not a whole number. Try convgrad inspect --help
$ inspect --dims 2d
Invalid value for '--dims': '2d' is not a whole number. Try convgrad inspect --help
$ inspect --size=3,
--size '3,' is not a size; write --size 3, or 3x4 with one number an axis
$ inspect --size 3x
--size '3x' is not a size; write --size 3, or 3x4 with one number an axis
$ inspect --size ''
--size '' is not a size; write --size 3, or 3x4 with one number an axis
$ inspect --size three
--size 'three' is not a size; write --size 3, or 3x4 with one number an axis
$ inspect --size 3.5
--size '3.5' is not a size; write --size 3, or 3x4 with one number an axis
$ inspect --size 3x3x3x3
a convolution has 1, 2 or 3 spatial axes, not 4; give --size as N, HxW or DxHxW
$ inspect --size 12345678901
--size '12345678901' is too large; a size is below 10^9
$ inspect -s -3
--size must be 1 or more, not -3
$ inspect --size 0
--size must be 1 or more, not 0
$ inspect --kernel 0
--kernel must be 1 or more, not 0
$ inspect --kernel 5 --size 3
kernel 5x5 does not fit input 3x3 (padding 0x0, dilation 1x1): output would be -1x-1; use --size 5 or more, or
--padding 1
$ inspect --kernel 3 --size 3x2 --dilation 2
kernel 3x3 does not fit input 3x2 (padding 0x0, dilation 2x2): output would be -1x-2; use --size 5 or more, or
--padding 2
$ inspect --stride 0
--stride must be 1 or more, not 0
$ inspect --dilation 0
--dilation must be 1 or more, not 0
$ inspect --batch 0
--batch must be 1 or more, not 0
$ inspect --batch -1
--batch '-1' is neither none nor a number below 10^9; write --batch 4
$ inspect --batch many
--batch 'many' is neither none nor a number below 10^9; write --batch 4
$ inspect --batch 1000000000
--batch '1000000000' is neither none nor a number below 10^9; write --batch 4
$ inspect --in-channels 0
--in-channels must be 1 or more, not 0
$ inspect --out-channels -2
--out-channels must be 1 or more, not -2
$ inspect --groups 0
--groups must be 1 or more, not 0
$ inspect --groups 2 --in-channels 3
--groups 2 must divide both 3 input channels and 2 output channels; set --in-channels and --out-channels to
multiples of 2
$ inspect --groups 3 --in-channels 3 --out-channels 4
--groups 3 must divide both 3 input channels and 4 output channels; set --in-channels and --out-channels to
multiples of 3
$ inspect --dims 4
a convolution has 1, 2 or 3 spatial axes, not 4; give --size as N, HxW or DxHxW
$ inspect --dims 2 --size 3x3x3
--size has 3 parts on a 2-D layer; give one number, or 2 joined by x
$ inspect --size 3x3 --kernel 2x2x2
--kernel has 3 parts on a 2-D layer; give one number, or 2 joined by x
$ inspect --padding much
--padding 'much' is neither a number, HxW, before:after, nor same, valid, full
$ inspect --padding 0:1:2
--padding '0:1:2': write before:after for an axis, such as 0:1 or 0:1x2:2
$ inspect --padding -1 --padding-mode reflect
negative padding -1 needs --padding-mode zeros, not reflect
$ inspect --padding same --stride 2
padding 'same' needs stride 1, not 2x2; use --stride 1, or give --padding as numbers
$ inspect --padding same --transposed
padding 'same' is not defined for a transposed convolution; give --padding as numbers
$ inspect --padding full --transposed
padding 'full' is not defined for a transposed convolution; give --padding as numbers
$ inspect --padding -2 --size 3
kernel 2x2 does not fit input 3x3 (padding -2x-2, dilation 1x1): output would be -2x-2; use --size 6 or more, or
--padding 0
$ inspect --padding 3 --padding-mode reflect --size 3
padding 3 is too large for --padding-mode reflect on input size 3: at most 2; use --padding 2 or --size 4 or more
$ inspect --padding 4 --padding-mode circular --size 3
padding 4 is too large for --padding-mode circular on input size 3: at most 3; use --padding 3 or --size 4 or more
$ inspect --padding-mode mirror
padding mode 'mirror' is not one of zeros, reflect, replicate, circular
$ inspect --padding-mode reflect --transposed
a transposed convolution knows only --padding-mode zeros, not reflect
$ inspect --output-padding 1
--output-padding belongs to a transposed convolution; add --transposed or drop it
$ inspect --output-padding 1 --transposed
--output-padding 1 must be 0 or more and less than stride or dilation (1)
$ inspect --transposed --size 3 --padding 3
padding 3x3 crops all of this transposed layer: output would be -2x-2; use a smaller --padding
$ inspect --layer 'Conv2d(3, 4, 2'
--layer 'Conv2d(3, 4, 2' is not a layer; write it as PyTorch does: Conv2d(3, 4, (2, 2))
$ inspect --layer 'Conv2d'
--layer 'Conv2d' is not a layer; write it as PyTorch does: Conv2d(3, 4, (2, 2))
$ inspect --layer 'Linear(3, 4)'
--layer 'Linear' is not one of Conv1d, Conv2d, Conv3d, ConvTranspose1d, 2d, 3d
$ inspect --layer '__import__("os").system("true")'
--layer 'system' is not one of Conv1d, Conv2d, Conv3d, ConvTranspose1d, 2d, 3d
$ inspect --layer 'Conv2d(3, 4, 2, strides=2)'
--layer Conv2d has no argument 'strides'; it knows in_channels, out_channels, kernel_size, stride, padding,
dilation, groups, bias, padding_mode
$ inspect --layer 'Conv2d(3, 4)'
--layer Conv2d: kernel_size is given nowhere
$ inspect --layer 'Conv2d(3, 4, 2, kernel_size=3)'
--layer Conv2d: kernel_size is given twice
$ inspect --layer 'Conv2d(3, 4, 2, 1, 0, 1, 1, True, "zeros", None)'
--layer Conv2d takes at most 9 arguments, not 10
$ inspect --layer 'Conv2d(3.0, 4, 2)'
--layer Conv2d: in_channels=3.0 is not what PyTorch takes there
$ inspect --layer 'Conv2d(3, 4, (2, 2, 2))'
--kernel has 3 parts on a 2-D layer; give one number, or 2 joined by x
$ inspect --layer 'Conv2d(3, 4, 2, bias=1)'
--layer Conv2d: bias=1 is not what PyTorch takes there
$ inspect --layer 'Conv2d(3, 4, 2, padding="some")'
--layer Conv2d: padding='some' is not what PyTorch takes there
$ inspect --layer 'Conv2d(3, 4, 2)' --kernel 3
--layer already says kernel_size; drop --kernel, or write the layer without --layer
$ inspect --layer 'Conv2d(3, 4, 2)' --in-channels 3
--layer already says in_channels; drop --in-channels, or write the layer without --layer
$ inspect --layer 'Conv2d(3, 4, 2)' --transposed
--layer already says transposed; drop --transposed, or write the layer without --layer
$ inspect --layer 'Conv2d(3, 4, 2)' --dims 3
--layer already says dims; drop --dims, or write the layer without --layer
$ inspect --layer 'mb2ic16ih8oc32kh3' --size 9
--layer already says input_size; drop --size, or write the layer without --layer
$ inspect --layer 'mb2ic16ih8oc32kh3xx1'
'mb2ic16ih8oc32kh3xx1' is not a benchdnn descriptor from 'xx1' on; write it as mb2ic16ih8oc32oh8kh3ph1
$ inspect --layer '--dt=f32,f16 ic16ih8oc32kh3'
'--dt=f32,f16 ic16ih8oc32kh3' names several problems; give --dt and --mb one value each
$ explain --layer 'conv -n 1 -c 3 --kernel 3'
MIOpenDriver has no option '--kernel'; its lines are conv -n 1 -c 3 -H 9 -W 9 -k 4 -y 3 -x 3
$ check --layer '{"kernel": 3}'
a layer in JSON has no 'kernel'; it knows layer, name, dtype, directions, batch_size, bias, dilation, dims, groups,
in_channels, input_size, kernel_size, out_channels, output_padding, padding, padding_mode, stride, transposed
$ inspect --as onnx
--as onnx is not one of torch, benchdnn, miopen
$ inspect --as torch -f json
a single line has no format json; drop --format
$ inspect --as miopen --dims 1
MIOpenDriver knows 2-D and 3-D layers; write this one as 2-D, with a height of 1
$ inspect --as miopen --dtype float64
MIOpenDriver computes in float32, float16 and bfloat16, not float64
$ inspect --as torch --padding 0:1x0:0
PyTorch pads both ends alike, with 0 or more, and this layer needs 0:1; --as benchdnn can say more
$ inspect --as benchdnn --padding -1:0x0:0
benchdnn has no negative padding in front, and this layer needs -1
$ inspect --as benchdnn --padding 1 --padding-mode reflect
benchdnn knows only --padding-mode zeros, not reflect
$ inspect --size 3 --kernel 2 --dims 0
a convolution has 1, 2 or 3 spatial axes, not 0; give --size as N, HxW or DxHxW
$ inspect --size 3 --kernel 2 --b eye
the fill eye is 1 at a centre, which a bias has not; give ones, or numbers
$ inspect --x ./rand
./rand does not exist; check the name
$ inspect -o missing/
--output missing/ is a directory; name a file in it
$ inspect --x -::x --w -::w
standard input (-) can only be read once; put the other numbers into a file
$ inspect --x rand
--x 'rand' is neither a fill, numbers, nor a file that exists; did you mean randn?
$ inspect --x 'a b'
--x 'a b' is neither a fill, numbers, nor a file that exists; fills are randn, uniform, ramp, ones, zeros, integers,
delta, eye, sobel-x, sobel-y, prewitt-x, prewitt-y, laplacian, gaussian, sharpen
$ inspect --x ''
--x '' is neither a fill, numbers, nor a file that exists; fills are randn, uniform, ramp, ones, zeros, integers,
delta, eye, sobel-x, sobel-y, prewitt-x, prewitt-y, laplacian, gaussian, sharpen
$ inspect --x missing.npy
missing.npy does not exist; check the name
$ inspect --x .
. is a directory; name a file in it
$ inspect --x - --w -
standard input (-) can only be read once; put the other numbers into a file
$ inspect --x sobel-x
the fill sobel-x is a 3x3 kernel; it can only be the weight of such a 2-D layer
$ inspect --w sobel-x --kernel 2
--w makes kernel_size 3x3, but --kernel or another tensor says 2x2; drop one of them
$ inspect --w sobel-x --dims 1
the fill sobel-x is a 3x3 kernel, and this layer is 1-D; drop one of them
$ inspect --x '1 2; 3 4' --size 3
--x makes input_size 2x2, but --size or another tensor says 3x3; drop one of them
$ inspect --x '1 2; 3 4' --w '1 2; 3 4' --kernel 1
--w makes kernel_size 2x2, but --kernel or another tensor says 1x1; drop one of them
$ inspect --x '[[[[1, 2], [3, 4]]]]' --batch 2
--x makes batch_size 1, but --batch or another tensor says 2; drop one of them
$ inspect --x '[[[[1, 2], [3, 4]]]]' --batch none
--x has a batch axis (1x1x2x2) and --batch none says there is none
$ inspect --x '[[[[1, 2], [3, 4]]]]' --w '[[[[1]], [[2]]]]'
--w makes in_channels 2, but --in-channels or another tensor says 1; drop one of them
$ inspect --x '1 2; 3 4' --w 1
--w has shape 1: a 2-D layer takes 2 to 4 axes; say --dims 1 if that is what you mean
$ inspect --b '1 2' --out-channels 3
--b makes out_channels 2, but --out-channels or another tensor says 3; drop one of them
$ inspect --b '1 2; 3 4'
--b has shape 2x2; a bias is one number for each output channel
$ inspect --b 1 --no-bias
--b gives a bias and --no-bias takes it away; drop one of them
$ inspect --g '1 2 3; 4 5 6'
--g has shape 2x3, but this layer needs 1x1x2x2 (batch, channels, size)
$ inspect --loss max
--loss 'max' is not one of sum, mean; any other loss is given by its --g
$ inspect --loss sum --g ones
--g is the gradient of a loss of your own, and --loss sum another; drop one of them
$ inspect --seed -1
--seed must be from 0 to 2^63 - 1, not -1
$ inspect --seed 9223372036854775808
--seed must be from 0 to 2^63 - 1, not 9223372036854775808
$ inspect --dtype int8
--dtype 'int8': use one of float64, float32, float16, bfloat16
$ inspect --dtype complex64
--dtype 'complex64': complex gradients are not supported; use one of float64, float32, float16, bfloat16
$ inspect --device tpu
--device 'tpu' is not a device; use cpu, cuda, cuda:1, mps, xpu or auto
$ explain --at weight
--at 'weight' names no element; write input, weight, bias or output: weight:0,0,0,1
$ explain --at kernel:0,0,0,1
--at 'kernel:0,0,0,1' names no element; write input, weight, bias or output: weight:0,0,0,1
$ explain --at weight:0,0,0
weight:0,0,0 is outside weight of shape 1x1x2x2
$ explain --at weight:0,0,0,2
weight:0,0,0,2 is outside weight of shape 1x1x2x2
$ explain --at weight:0,0,0,-1
--at 'weight:0,0,0,-1' names no element; write input, weight, bias or output: weight:0,0,0,1
$ explain --at weight:0,0,a,1
--at 'weight:0,0,a,1' names no element; write input, weight, bias or output: weight:0,0,0,1
$ explain --at bias:0
--at names an element of the bias, and the layer has none; add --bias
$ explain --bias --at bias:1
bias:1 is outside bias of shape 1
$ inspect -f pdf
--format 'pdf' is not one of table, plain, json, jsonl, csv, markdown, latex, html, svg, png, junit, github
$ inspect -o out.pdf
--output out.pdf: .pdf is not one of .txt, .json, .jsonl, .csv, .tsv, .md, .tex, .html, .svg, .png, .xml; add --format
$ inspect -o ''
--output needs the name of a file, or - for standard output
$ inspect -o .
--output . is a directory; name a file in it
$ inspect -o missing/out.json
--output missing/out.json: there is no directory FOLDER/missing
$ inspect --only grad
--only 'grad' is not one of input, weight, bias, output, grad_output, grad_input, grad_weight, grad_bias
$ inspect --only weights,x
--only 'weights' is not one of input, weight, bias, output, grad_output, grad_input, grad_weight, grad_bias
$ inspect --rows 0
--rows must be 1 or more, not 0
$ inspect --precision -1
--precision must be from 0 to 17, not -1
$ inspect --precision 18
--precision must be from 0 to 17, not 18
$ inspect --width 19
--width must be from 20 to 10000, not 19
$ inspect --color sometimes
--color 'sometimes' is not one of auto, always, never
$ doctor -f csv
--format 'csv': doctor prints table or json
$ inspect --size 3 --kernel 2 --padding-mode reflect --padding 0:3
padding 3 is too large for --padding-mode reflect on input size 3: at most 2; use --padding 2 or --size 4 or more
$ explain --at 'weight:0,0,0,1]x'
--at 'weight:0,0,0,1]x' names no element; write input, weight, bias or output: weight:0,0,0,1
$ inspect --transposed --size 3 --padding-mode circular --padding 1
a transposed convolution knows only --padding-mode zeros, not circular
$ inspect --x '[[1,2],[3,4]]' --dims 3
--x has shape 2x2: a 3-D layer takes 3 to 5 axes; say --dims 2 if that is what you mean
$ explain --size 3 x 3
Got unexpected extra argument(s) (x 3); each value belongs to an option and has no blanks in it: --size 3x3. Try
convgrad explain --help
$ inspect --w '1 2 3' --groups 2 --dims 1 --x '1 2 3 4'
--w makes in_channels 2, but --in-channels or another tensor says 1; drop one of them
$ inspect --ggb 1
--ggb is the cotangent of the bias's gradient, and the layer has no bias; add --bias
$ inspect --ggx '1 2 3'
--ggx has shape 3, but this layer needs 1x1x3x3 (batch, channels, size)
$ inspect --transposed --ggw '1 2 3'
--ggw has shape 3, but this layer needs 1x1x2x2 (in, out / groups, kernel)
$ inspect --ggx sobel-x --kernel 3
the fill sobel-x is a kernel; it can only be given as --w
$ inspect --ggw random
--ggw 'random' is neither a fill, numbers, nor a file that exists; did you mean randn?
$ inspect --x - --ggx -
standard input (-) can only be read once; put the other numbers into a file
$ inspect --second-order -f html
-f html shows no second order; use -f svg, markdown, latex or json
$ inspect --ggx ones -o page.html
-f html shows no second order; use -f svg, markdown, latex or json
$ inspect --second-order --as torch
--as prints the layer alone, which has no order; drop --second-order or --as
$ explain --second-order
--second-order explains one element, of g, w or x; add --at g:0,0,0,0 or the like
$ explain --at g:0,0,0,0
--at 'g:0,0,0,0' is an element of the second order; add --second-order
$ explain --second-order --at b:0
bias has no gradient of the second order; grad_output, weight and input have one
$ explain --second-order --at k:0
--at 'k:0' names no element; write g, w or x: weight:0,0,0,1
$ explain --second-order --at g:0,0,2,0
output:0,0,2,0 is outside output of shape 1x1x2x2
$ check --second-order --exec 'run {in} {out}'
--exec has no second order; --second-order judges torch, --forward, or a TARGET that is called as
function(x, w, b, g, ggx, ggw, ggb)
$ check --second-order --grad-weight saved.pt
--grad-weight has no second order; --second-order judges torch, --forward, or a TARGET that is called as
function(x, w, b, g, ggx, ggw, ggb)
$ check --second-order layers.py --convention cs231n
--convention has no second order; --second-order judges torch, --forward, or a TARGET that is called as
function(x, w, b, g, ggx, ggw, ggb)
$ inspect -x 1
No such option: -x. Try convgrad inspect --help
"""


def mistakes() -> list[tuple[tuple[str, ...], str]]:
    """Every command line with its message; FOLDER stands for the working directory."""
    blocks = (block.splitlines() for block in TOLD.strip().removeprefix("$ ").split("\n$ "))
    return [(tuple(shlex.split(line)), " ".join(said)) for line, *said in blocks]
