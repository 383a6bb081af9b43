# Calls NautobotPlugin.pm's hooks: one JSON object {hook, args} a line on stdin, one {result, error,
# requests} a line on stdout. The first argument is the directory of the plugin.
use strict;
use warnings;

use JSON;

my $home;
BEGIN { $home = shift @ARGV }
use lib "$home/t/lib";
use PVEStandIn;
require "$home/NautobotPlugin.pm";

$| = 1;
while (my $line = <STDIN>) {
    my $call = decode_json($line);
    my $hook = $call->{hook};
    $PVEStandIn::requests = 0;
    my @result = eval { PVE::Network::SDN::Ipams::NautobotPlugin->$hook($call->{args}->@*) };
    my $answer = { result => \@result, error => "$@", requests => $PVEStandIn::requests };
    print encode_json($answer), "\n";
}
