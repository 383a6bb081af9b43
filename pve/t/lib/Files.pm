# Files of the tests, written and read as a whole.
package Files;

use strict;
use warnings;

use Exporter qw(import);
use File::Path qw(make_path);

our @EXPORT_OK = qw(spew slurp);

sub spew {
    my ($path, $content) = @_;

    make_path($path =~ s!/[^/]*$!!r);
    open(my $out, '>', $path) or die "cannot write $path: $!";
    print $out $content;
    close($out) or die "cannot write $path: $!";
}

sub slurp {
    my ($path) = @_;

    open(my $in, '<', $path) or die "cannot read $path: $!";
    return join('', <$in>);
}

1;
